"""Availability of languages and sandboxes for benchmarks that execute code."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from harness.core.record import NO_TOOLCHAIN
from harness.sandbox.languages.self_test import require_trial
from harness.sandbox.languages.table import language_named
from harness.sandbox.languages.toolchains import toolchain
from harness.scoring.execution import backend_in_force
from harness.scoring.options import ScoringOptions
from harness.scoring.tasks import Tasks, executes_code, inspect_tasks
from harness.suite.spec import BenchmarkSpec


def language_of(task: Any) -> str | None:
    """The language of a task's programs from its metadata; None if there is none (Python)."""
    metadata = task.config.metadata
    return metadata.get("programming_language") if isinstance(metadata, dict) else None


def missing_languages(tasks: Iterable[Any]) -> tuple[str, ...]:
    """Titles of the languages of `tasks` that this machine cannot run."""
    names = [name for task in tasks if (name := language_of(task)) and toolchain(name) is None]
    return tuple(dict.fromkeys(language_named(name).title for name in names))


def program_parts(task: Any) -> dict[str, Any]:
    """What verdicts on a task's programs depend on: the language's entry and its toolchain version."""
    if (name := language_of(task)) is None:
        return {}
    tools = toolchain(name)
    return {"language": asdict(language_named(name)), "version": tools.version if tools else None}


def is_run(benchmark: BenchmarkSpec, task: Any, options: ScoringOptions) -> bool:
    """Whether a task's answers are generated and scored; if not, only its gold continuations are scored."""
    allowed = options.execution != "refused" or not executes_code(benchmark, task)
    return allowed and not missing_languages([task])


def require_trials(tasks: Iterable[Any]) -> None:
    """Check that the current sandbox judges trial programs correctly in the language of every task.

    Called before anything is generated.

    Raises:
        InputError: a trial program was judged wrongly.
    """
    for language in dict.fromkeys(filter(None, map(language_of, tasks))):
        if backend := backend_in_force():
            require_trial(language, backend)


def how_executed(benchmark: BenchmarkSpec, options: ScoringOptions) -> str:
    """For results: "" (executes nothing), the execution mode, or the missing toolchains."""
    if not benchmark.executes_code:
        return ""
    missing = missing_languages(inspect_tasks(benchmark, options).values())
    return NO_TOOLCHAIN + ", ".join(missing) if missing else options.execution


def pooling_mistakes(tasks: Tasks) -> list[str]:
    """Errors for a benchmark of several languages of which only some can be run here.

    Its items could not be compared.
    """
    missing = missing_languages(tasks.values())
    if not missing or all(missing_languages([task]) for task in tasks.values()):
        return []
    return [f"no toolchain for {', '.join(missing)}; give each language a benchmark of its own"]
