"""Scoring of a benchmark: lm-eval's evaluation, then bits per byte with the same model.

Documents and prompts are those of an unlimited lm-eval run with the same seed, item by item; a limit selects
some of them and changes no prompt (`limit`). Every answer goes through a journal, from which a killed attempt
resumes.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusion.progress import OnProgress
from harness.core.environment import replaced
from harness.core.exceptions import InputError
from harness.core.record import Item
from harness.scoring.availability import is_run, require_trials
from harness.scoring.catalogue import task_manager
from harness.scoring.execution import prompted
from harness.scoring.gold import Gold, score_continuations, target_gold
from harness.scoring.journal import Journal, JournaledLM
from harness.scoring.limit import chosen, replay_draws
from harness.scoring.model_backends import LoadedLM
from harness.scoring.options import ScoringOptions
from harness.scoring.samples import Answer, answers_of, items_of, misnamed_metrics, require_metrics
from harness.scoring.tasks import (
    Tasks,
    build_tasks,
    configure,
    draw_samples,
    effective_fewshot,
    environment,
    executes_code,
    filter_mistakes,
)
from harness.suite.spec import BenchmarkSpec

DocumentIndices = Mapping[str, Sequence[int]]  # task -> indices of the documents that are scored


@dataclass(frozen=True)
class Scored:
    """Items of one model on one benchmark, and how many answers were reused from an earlier attempt."""

    items: list[Item]
    answers_reused: int
    answers_computed: int


def score_with_journal(
    benchmark: BenchmarkSpec,
    model: LoadedLM,
    options: ScoringOptions,
    *,
    journal: Path | None = None,
    report: OnProgress | None = None,
) -> Scored:
    """Score one model on one benchmark: one item per document, tasks pooled in the benchmark's order.

    Where model-written code is refused or its language's toolchain is missing, nothing is generated: items
    then have no scores, only bits per byte.

    Args:
        journal: folder that caches responses, for this model, benchmark and options only; cached requests are
            not sent again. None: an interrupted scoring starts over.
        report: called with the number of responses done and in total; the total grows when the gold
            continuations are requested.

    Raises:
        InputError: unknown task, missing dataset, a metric that the task does not give per document.
    """
    with environment(options, "inspect"):  # code tasks run a program when they are imported
        tasks = build_tasks(benchmark.tasks, options)
    _require_sound(benchmark, tasks)
    draw_samples(benchmark, tasks)
    with environment(options, options.execution), JournaledLM(model.lm, Journal(journal), report) as lm:
        answers = list(_answers(tasks, benchmark, lm, options))
        items = items_of(answers, _loglikelihoods([a.gold for a in answers], lm, options))
    return Scored(items, lm.reused, lm.computed)


def _answers(
    tasks: Tasks, benchmark: BenchmarkSpec, lm: JournaledLM, options: ScoringOptions
) -> Iterator[Answer]:
    places = {name: _limited(name, task, benchmark, options) for name, task in tasks.items()}
    run = {name: task for name, task in tasks.items() if is_run(benchmark, task, options)}
    require_trials(run.values())
    samples = _evaluate(run, places, benchmark, lm, options) if run else {}
    for name, task in tasks.items():
        if name in run:
            answers = answers_of(name, task, benchmark, samples[name])
            require_metrics(benchmark, answers)
            yield from answers
        else:
            yield from _unanswered(name, task, places[name], benchmark, options)


def _limited(name: str, task: Any, benchmark: BenchmarkSpec, options: ScoringOptions) -> Sequence[int]:
    """The documents to score; prepares the task to draw their few-shot examples."""
    documents = list(task.eval_docs)
    places = chosen(name, documents, benchmark.limit, options.seed)
    replay_draws(task, effective_fewshot(benchmark, task), documents, places)
    return places


def _require_sound(benchmark: BenchmarkSpec, tasks: Tasks) -> None:
    for name, task in tasks.items():
        for mistake in (*filter_mistakes(benchmark, task), *misnamed_metrics(benchmark, task)):
            raise InputError(
                f"benchmark {benchmark.name}: task {name}: {mistake}",
                remedy="name another under `filter` or `metrics`",
            )


def _evaluate(
    tasks: Tasks, places: DocumentIndices, benchmark: BenchmarkSpec, lm: JournaledLM, options: ScoringOptions
) -> dict[str, Any]:
    from lm_eval import evaluator

    for task in tasks.values():
        if executes_code(benchmark, task):
            score_ahead(task)
    # lm-eval would run a dozen programs to describe the machine at every call; a run does that once. It would
    # also ask git for the current folder's commit, which prints an error outside a repository.
    with (
        replaced(evaluator, "add_env_info", lambda _results: None),
        replaced(evaluator, "get_git_commit_hash", lambda: None),
    ):
        results = evaluator.simple_evaluate(
            model=lm,
            tasks=list(tasks.values()),
            task_manager=task_manager(benchmark.tasks, options),
            num_fewshot=benchmark.num_fewshot,
            samples={name: places[name] for name in tasks},
            gen_kwargs=dict(benchmark.gen_kwargs) or None,
            log_samples=True,
            bootstrap_iters=0,
            random_seed=options.seed,
            numpy_random_seed=options.seed,
            torch_random_seed=options.seed,
            fewshot_random_seed=options.seed,
            confirm_run_unsafe_code=options.execution != "refused",
        )
    samples: dict[str, Any] = results["samples"]
    return samples


def _unanswered(
    name: str, task: Any, places: Sequence[int], benchmark: BenchmarkSpec, options: ScoringOptions
) -> Iterator[Answer]:
    """Documents and prompts of a task whose answers are not generated."""
    configure(task, benchmark, options)
    task.build_all_requests(samples=places, rank=0, world_size=1)
    for request in task.instances:
        prompt = str(request.args[0])
        yield Answer(name, request.doc, prompt, target_gold(task, benchmark, request.doc, prompt))


def _loglikelihoods(golds: Sequence[Gold], lm: JournaledLM, options: ScoringOptions) -> list[float | None]:
    if not options.bits_per_byte:
        return [None] * len(golds)
    missing = [i for i, gold in enumerate(golds) if gold.loglikelihood is None]
    asked = score_continuations(lm.lm, [golds[i] for i in missing], lm.loglikelihood)
    found = dict(zip(missing, asked, strict=True))
    return [found.get(i, gold.loglikelihood) for i, gold in enumerate(golds)]


def score_ahead(task: Any) -> None:
    """Judge a code task's documents in parallel before lm-eval asks for each.

    lm-eval asks for one document's verdict after the other, and each waits for a program. Here all are
    started once the filters have run, in the order in which lm-eval will ask, and handed out from there.
    """
    filters, judge = task.apply_filters, task.process_results
    verdicts: list[Any] = []

    def apply_filters() -> Any:
        applied = filters()
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            verdicts.extend(pool.map(lambda call: _judged(task, judge, call), _calls(task)))
        verdicts.reverse()
        return applied

    def process_results(_doc: Any, _responses: Any) -> Any:
        return verdicts.pop()

    hand_over(task, apply_filters, process_results)


def _judged(task: Any, judge: Callable[..., Any], call: tuple[Any, list[Any]]) -> Any:
    with prompted(str(task.doc_to_text(call[0]))):
        return judge(*call)


def hand_over(task: Any, apply_filters: Callable[..., Any], process_results: Callable[..., Any]) -> None:
    task.apply_filters, task.process_results = apply_filters, process_results


def _calls(task: Any) -> list[tuple[Any, list[Any]]]:
    """All (document, responses) in lm-eval's scoring order: filter by filter, documents in order."""
    by_doc: dict[int, list[Any]] = {}
    for request in sorted(task.instances, key=lambda request: (request.doc_id, request.idx)):
        by_doc.setdefault(request.doc_id, []).append(request)
    return [
        (requests[0].doc, [request.filtered_resps[name] for request in requests])
        for name in task.instances[0].filtered_resps
        for requests in by_doc.values()
    ]
