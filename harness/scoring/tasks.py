"""Task objects of lm-eval for a benchmark: building, configuring and describing them."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from harness.core.exceptions import InputError, nearest
from harness.data.mirror import redirected
from harness.scoring.bbh_filter import add_whole_answer
from harness.scoring.catalogue import task_manager, unknown_tasks
from harness.scoring.execution import CodeEvalMode, code_eval
from harness.scoring.options import ScoringOptions
from harness.scoring.quiet import quiet
from harness.suite.spec import BenchmarkSpec

Tasks = Mapping[str, Any]  # name -> lm_eval.api.task.Task; groups and tags are expanded


@contextmanager
def environment(options: ScoringOptions, mode: CodeEvalMode) -> Iterator[None]:
    """The environment for tasks: datasets from the mirror, our `code_eval`, no notices."""
    with ExitStack() as stack:
        stack.enter_context(redirected(options))
        stack.enter_context(code_eval(mode))
        stack.enter_context(quiet())
        yield


def build_tasks(names: tuple[str, ...], options: ScoringOptions) -> Tasks:
    """Build new task objects (scoring changes them), with our BBH filter added. Call within `environment`.

    Raises:
        InputError: unknown task, a dataset that cannot be read, or one without the task's split or column.
    """
    if mistakes := unknown_tasks(names, options):
        raise InputError("; ".join(mistakes), remedy="`lm_eval ls tasks` lists the official tasks")
    try:
        tasks = dict(task_manager(names, options).load(list(names))["tasks"])
    except InputError:
        raise
    except Exception as error:  # lm-eval reads the first document here and passes errors on
        raise InputError(
            f"task {', '.join(names)} cannot be built: {type(error).__name__}: {error}",
            remedy="check that its dataset has the splits and columns that the task's YAML names"
            + (f" (mirror: {options.mirror})" if options.mirror else ""),
        ) from error
    for task in tasks.values():
        add_whole_answer(task)
    return tasks


def inspect_tasks(benchmark: BenchmarkSpec, options: ScoringOptions) -> Tasks:
    """Task objects for inspection only, cached in this process; executes no code.

    Raises:
        InputError: as `build_tasks`.
    """
    return _inspected(benchmark.tasks, options)


@lru_cache(maxsize=64)
def _inspected(names: tuple[str, ...], options: ScoringOptions) -> Tasks:
    with environment(options, "inspect"):
        return build_tasks(names, options)


def executes_code(benchmark: BenchmarkSpec, task: Any) -> bool:
    """Whether scoring runs model-written code, as declared by the suite or by the task."""
    return benchmark.executes_code or bool(getattr(task, "UNSAFE_CODE", False))


def effective_fewshot(benchmark: BenchmarkSpec, task: Any) -> int:
    """Few-shot number, as in lm-eval: a task's 0, else the benchmark's, else the task's, else 0."""
    own: int | None = task.get_config("num_fewshot")
    if own == 0 or benchmark.num_fewshot is None:
        return own or 0
    return benchmark.num_fewshot


def configure(task: Any, benchmark: BenchmarkSpec, options: ScoringOptions) -> None:
    """Configure a task as `simple_evaluate` does before it builds requests, without running it."""
    task.set_config(key="num_fewshot", value=effective_fewshot(benchmark, task))
    task.set_fewshot_seed(seed=options.seed)


def draw_samples(benchmark: BenchmarkSpec, tasks: Tasks) -> None:
    """Set the number of answers per document, if the benchmark gives one."""
    for task in tasks.values():
        task.set_config(key="repeats", value=samples_per_item(benchmark, task))


def samples_per_item(benchmark: BenchmarkSpec, task: Any) -> int:
    return benchmark.samples or int(task.config.repeats)


def filter_names(task: Any) -> list[str]:
    return [ensemble.name for ensemble in task._filters]


def filter_mistakes(benchmark: BenchmarkSpec, task: Any) -> list[str]:
    """Errors in the benchmark's filter for this task, as sentences."""
    filters = filter_names(task)
    if benchmark.filter is None or benchmark.filter in filters:
        return []
    close = nearest(benchmark.filter, filters)
    return [f"unknown filter {benchmark.filter!r}{close}; it has {', '.join(filters)}"]


def chosen_filter(benchmark: BenchmarkSpec, task: Any) -> str:
    """The benchmark's filter, else the task's first (every filter has all metrics of the task)."""
    return benchmark.filter or filter_names(task)[0]


def score_name(metric: str, filter_name: str, chosen: str) -> str:
    """An item's name for a metric: its plain name under the chosen filter, else lm-eval's "metric,filter"."""
    return metric if filter_name == chosen else f"{metric},{filter_name}"


TaskKind = Literal["choice", "continuation", "text", "generation", "execution"]

_KINDS: dict[str, TaskKind] = {
    "multiple_choice": "choice",
    "loglikelihood": "continuation",
    "loglikelihood_rolling": "text",
}


@dataclass(frozen=True)
class TaskDescription:
    """One lm-eval task of a benchmark; `items` of its `documents` are scored."""

    name: str
    kind: TaskKind
    filter: str  # extracts the answer from generated text; "" if nothing is generated
    num_fewshot: int
    items: int
    documents: int


def describe_tasks(benchmark: BenchmarkSpec, options: ScoringOptions) -> tuple[TaskDescription, ...]:
    """Descriptions of a benchmark's tasks, groups expanded, in the benchmark's order.

    Raises:
        InputError: unknown task, or a dataset that cannot be read.
    """
    tasks = inspect_tasks(benchmark, options)
    return tuple(_described(name, task, benchmark) for name, task in tasks.items())


def _described(name: str, task: Any, benchmark: BenchmarkSpec) -> TaskDescription:
    documents = len(task.eval_docs)
    kind = "execution" if executes_code(benchmark, task) else _KINDS.get(task.OUTPUT_TYPE, "generation")
    return TaskDescription(
        name=name,
        kind=kind,
        filter=chosen_filter(benchmark, task) if kind == "generation" else "",
        num_fewshot=effective_fewshot(benchmark, task),
        items=min(documents, benchmark.limit or documents),
        documents=documents,
    )
