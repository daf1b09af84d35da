"""Score a benchmark: lm-eval's own evaluation, then bits per byte through the same model.

Documents are lm-eval's: `limit` means the first so many, and few-shot examples come from its sampler, which
draws on from one document to the next. So with the same limit and seed the numbers equal its command line's,
item by item; with another limit a prompt may have other examples (unless its task samples `first_n`).
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from harness.errors import InputError
from harness.results import Item
from harness.scoring.availability import is_run
from harness.scoring.catalogue import task_manager
from harness.scoring.execution import prompted
from harness.scoring.gold import Gold, score_continuations, target_gold
from harness.scoring.model import LoadedLM
from harness.scoring.options import ScoringOptions
from harness.scoring.patching import replaced
from harness.scoring.samples import Answer, answer_of, items_of, misnamed_metrics, require_metrics
from harness.scoring.tasks import (
    Tasks,
    build_tasks,
    chosen_filter,
    configure,
    draw_samples,
    environment,
    executes_code,
)
from harness.suite import BenchmarkSpec


def score_benchmark(benchmark: BenchmarkSpec, model: LoadedLM, options: ScoringOptions) -> list[Item]:
    """Score one model on one benchmark: one item per document, tasks pooled in the benchmark's order.

    Where model-written code is refused, or cannot be run because its language's toolchain is missing, nothing
    is generated: items then have no scores, only bits per byte.

    Raises:
        InputError: unknown task, missing dataset, a metric that the task does not give per document.
    """
    with environment(options, "inspect"):  # code tasks run a program of their own when they are imported
        tasks = build_tasks(benchmark.tasks, options)
    _require_sound_metrics(benchmark, tasks)
    draw_samples(benchmark, tasks)
    with environment(options, options.execution):
        run = {name: task for name, task in tasks.items() if is_run(benchmark, task, options)}
        samples = _evaluate(run, benchmark, model.lm, options) if run else {}
        answers = [
            answer
            for name, task in tasks.items()
            for answer in (
                _answers(name, task, benchmark, samples[name])
                if name in run
                else _unanswered(name, task, benchmark, options)
            )
        ]
        return items_of(answers, _loglikelihoods([a.gold for a in answers], model.lm, options))


def _require_sound_metrics(benchmark: BenchmarkSpec, tasks: Tasks) -> None:
    for name, task in tasks.items():
        for mistake in misnamed_metrics(benchmark, task):
            raise InputError(
                f"benchmark {benchmark.name}: task {name}: {mistake}",
                remedy="name another metric, such as acc",
            )


def _evaluate(tasks: Tasks, benchmark: BenchmarkSpec, lm: Any, options: ScoringOptions) -> dict[str, Any]:
    from lm_eval import evaluator

    for task in tasks.values():
        if executes_code(benchmark, task):
            score_ahead(task)
    # It would describe the machine by running a dozen programs, every time; a run does that once.
    with replaced(evaluator, "add_env_info", lambda _results: None):
        results = evaluator.simple_evaluate(
            model=lm,
            tasks=list(tasks.values()),
            task_manager=task_manager(benchmark.tasks, options),
            num_fewshot=benchmark.num_fewshot,
            limit=benchmark.limit,
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


def _answers(name: str, task: Any, benchmark: BenchmarkSpec, samples: Sequence[Any]) -> list[Answer]:
    wanted = chosen_filter(benchmark, task)
    answers = [answer_of(name, task, benchmark, sample) for sample in samples if sample["filter"] == wanted]
    require_metrics(benchmark, answers)
    return answers


def _unanswered(name: str, task: Any, benchmark: BenchmarkSpec, options: ScoringOptions) -> list[Answer]:
    """Documents and prompts of a task that is not run."""
    configure(task, benchmark, options)
    task.build_all_requests(limit=benchmark.limit, rank=0, world_size=1)
    prompts = [(request.doc, str(request.args[0])) for request in task.instances]
    return [Answer(name, doc, prompt, target_gold(task, benchmark, doc, prompt)) for doc, prompt in prompts]


def _loglikelihoods(golds: Sequence[Gold], lm: Any, options: ScoringOptions) -> list[float | None]:
    if not options.bits_per_byte:
        return [None] * len(golds)
    missing = [i for i, gold in enumerate(golds) if gold.loglikelihood is None]
    found = dict(zip(missing, score_continuations(lm, [golds[i] for i in missing]), strict=True))
    return [found.get(i, gold.loglikelihood) for i, gold in enumerate(golds)]


def score_ahead(task: Any) -> None:
    """Let a code task judge its documents side by side.

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
    """The (document, responses) that lm-eval will ask about: filter by filter, documents in order."""
    by_doc: dict[int, list[Any]] = {}
    for request in sorted(task.instances, key=lambda request: (request.doc_id, request.idx)):
        by_doc.setdefault(request.doc_id, []).append(request)
    return [
        (requests[0].doc, [request.filtered_resps[name] for request in requests])
        for name in task.instances[0].filtered_resps
        for requests in by_doc.values()
    ]
