"""Checks of a suite's benchmarks, all reported at once and before anything is computed."""

from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any

from harness.core.environment import replaced
from harness.core.exceptions import InputError, nearest
from harness.data.mirror import missing_datasets
from harness.scoring.availability import pooling_mistakes
from harness.scoring.catalogue import datasets_of, unknown_tasks
from harness.scoring.model_backends import backend_mistakes
from harness.scoring.options import ScoringOptions
from harness.scoring.samples import misnamed_metrics
from harness.scoring.tasks import (
    chosen_filter,
    environment,
    filter_mistakes,
    filter_names,
    inspect_tasks,
    samples_per_item,
    score_name,
)
from harness.suite.spec import BenchmarkSpec


def validate_benchmarks(benchmarks: Sequence[BenchmarkSpec], options: ScoringOptions) -> list[str]:
    """All errors in the benchmarks as sentences, each with the nearest valid name or with what to do.

    Finds unknown tasks, metrics and filters, missing datasets, gold templates that render to nothing,
    few-shot numbers that a task ignores, and model-written code that the suite does not declare.
    Downloads missing datasets unless `options.offline`.
    """
    return backend_mistakes(options) + [
        f"benchmark {benchmark.name}: {mistake}"
        for benchmark in benchmarks
        for mistake in _mistakes(benchmark, options)
    ]


def _mistakes(benchmark: BenchmarkSpec, options: ScoringOptions) -> Iterator[str]:
    if unknown := unknown_tasks(benchmark.tasks, options):
        yield from unknown
        return
    try:
        tasks = inspect_tasks(benchmark, options)
    except InputError as error:
        yield from map(str, missing_datasets(datasets_of(benchmark, options), options).values() or [error])
        return
    yield from pooling_mistakes(tasks)
    for name, task in tasks.items():
        for mistake in _task_mistakes(benchmark, task, options):
            yield f"task {name}: {mistake}"


def _task_mistakes(benchmark: BenchmarkSpec, task: Any, options: ScoringOptions) -> Iterator[str]:
    yield from filter_mistakes(benchmark, task)
    with replaced(task.config, "repeats", samples_per_item(benchmark, task)):
        known = score_names(benchmark, task, options)
    for metric in benchmark.metrics:
        if metric not in known:
            yield f"unknown metric {metric!r}{nearest(metric, known)}; it gives {', '.join(known) or 'none'}"
    yield from misnamed_metrics(benchmark, task)
    yield from _sampling_mistakes(benchmark, task)
    if getattr(task, "UNSAFE_CODE", False) and not benchmark.executes_code:
        yield "it runs model-written code; say so with `executes_code: true`"
    if benchmark.num_fewshot and task.get_config("num_fewshot") == 0:
        yield f"it fixes num_fewshot at 0, so {benchmark.num_fewshot} would be ignored; leave num_fewshot out"
    if benchmark.gold is not None and not _first_gold(task, benchmark.gold).strip():
        yield f"gold template {benchmark.gold!r} gives nothing; columns are {', '.join(task.eval_docs[0])}"


def _sampling_mistakes(benchmark: BenchmarkSpec, task: Any) -> Iterator[str]:
    settings = {**(task.config.generation_kwargs or {}), **benchmark.gen_kwargs}
    sampled = settings.get("do_sample", settings.get("temperature"))  # as lm-eval reads it
    if benchmark.samples and task.OUTPUT_TYPE != "generate_until":
        yield "it generates nothing, so there is nothing to draw samples of; leave `samples` out"
    elif benchmark.samples and benchmark.samples > 1 and not sampled:
        yield (
            f"its {benchmark.samples} samples would be equal, as it generates greedily; "
            "set gen_kwargs, for example {do_sample: true, temperature: 0.2}"
        )


def _first_gold(task: Any, template: str) -> str:
    from jinja2 import TemplateError
    from lm_eval.utils import apply_template

    try:
        return str(apply_template(template, task.eval_docs[0]))
    except TemplateError:
        return ""


def score_names(benchmark: BenchmarkSpec, task: Any, options: ScoringOptions) -> list[str]:
    """Names of all scores in an item: every metric under every filter, those of the chosen filter first."""
    metrics, chosen = metric_names(task, options), chosen_filter(benchmark, task)
    others = [name for name in filter_names(task) if name != chosen]
    return [score_name(metric, name, chosen) for name in (chosen, *others) for metric in metrics]


def metric_names(task: Any, options: ScoringOptions) -> list[str]:
    """Names of the metrics that a task gives per document, in its order.

    A metric's function may return other names than the one it is listed under (`pass_at_k` returns `pass@1`),
    so the first document is scored with an empty answer. If that fails, the task's list of metrics is used.
    """
    try:
        with environment(options, "inspect"):
            result = task.process_results(task.eval_docs[0], _empty_responses(task))
    except Exception:
        return list(task.aggregation())
    return [name for name, value in result.items() if isinstance(value, Real)]


def _empty_responses(task: Any) -> list[Any]:
    doc = task.eval_docs[0]
    match task.OUTPUT_TYPE:
        case "multiple_choice":
            copies = 2 if "acc_mutual_info" in task.aggregation() else 1
            return [(-1.0, False)] * (len(task.doc_to_choice(doc)) * copies)
        case "loglikelihood":
            return [(-1.0, False)]
        case "loglikelihood_rolling":
            return [-1.0]
        case _:
            return _filtered_empty(task, doc)


def _filtered_empty(task: Any, doc: Any) -> list[Any]:
    from lm_eval.api.instance import Instance

    request = Instance("generate_until", doc, ("", {}), 0, (None, 0, 1))
    request.resps.extend([""] * task.config.repeats)
    for ensemble in task._filters:
        ensemble.apply([request])
    return [request.filtered_resps[filter_names(task)[0]]]
