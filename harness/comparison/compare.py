"""Comparison of all models on all benchmarks: items -> rows of scores and paired differences.

Rules
- Every model must have been scored on the same items; they are paired by the item's hash.
- A metric whose scores all lie in [0, 1] is a share and is shown in percent. Any other metric (perplexity,
  for example) keeps its own unit, "score", and is part of no average.
- Lower is better for bits per byte and the metrics in LOWER_IS_BETTER; there a negative difference is an
  improvement.
- Bits per byte is the mean over the items where all models have it, with equal weights.
- A capability's average is the macro mean of its benchmarks' headline metrics; overall is the macro mean of
  the capabilities.
- Intervals, tests, correction and power: `differences`. Gained and lost items: `changes`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from harness.comparison.changes import changes_of
from harness.comparison.differences import Models, rows_of
from harness.comparison.outcomes import BITS_PER_BYTE, Outcomes, averages, clusters_of, over_models, overall
from harness.comparison.statistics import Floats
from harness.comparison.verdict import verdict
from harness.core.exceptions import InputError, nearest
from harness.core.formats import Unit
from harness.core.record import BenchmarkEntry, Comparison, Item, metrics_of
from harness.suite.spec import ComparisonSpec

LOWER_IS_BETTER = frozenset(
    {BITS_PER_BYTE, "perplexity", "word_perplexity", "byte_perplexity", "brier_score", "ter", "timed_out"}
)  # lm-eval's per-document "perplexity" is a log-likelihood; scoring refuses it

ItemsByModel = Mapping[str, Sequence[Item]]
Trainings = Mapping[str, Sequence[str]]
ONCE: Trainings = {}


def higher_is_better(metric: str) -> bool:
    """The direction of a metric (or `metric,filter`), used by comparison and regression check."""
    return metric.partition(",")[0] not in LOWER_IS_BETTER


def compare(
    items: Mapping[str, ItemsByModel],
    models: Models,
    benchmarks: Sequence[BenchmarkEntry],
    spec: ComparisonSpec,
    trainings: Trainings = ONCE,
) -> Comparison:
    """Compare all models on all benchmarks that were scored; `items` is benchmark -> model -> items.

    `trainings` lists, for models trained several times, the names of all trainings in the same order of
    seeds; `items` has each of them, and the model's scores are their means.

    Raises InputError where a benchmark, an item or a metric is missing for one model and present for another.
    """
    outcomes = list(_outcomes(items, [name for name, _ in models], benchmarks, trainings))
    in_all = overall(outcomes)
    rows = rows_of([*outcomes, *([in_all] if in_all else ())], models, spec)
    own, whole = rows[: len(outcomes)], rows[-1] if in_all else None
    return Comparison(
        rows=own,
        overall=whole,
        confidence=spec.confidence,
        correction=spec.correction,
        trainings=max((len(names) for names in trainings.values()), default=1),
        changes=tuple(changes_of(outcomes, models, spec)),
        verdict=verdict(own, spec.confidence, whole, spec.correction),
    )


def same_items(benchmark: str, items: ItemsByModel, models: Sequence[str]) -> dict[str, list[Item]]:
    """Each model's items in one common order. Raises InputError naming the differences."""
    for name in models:
        if name not in items:
            raise InputError(
                f"{benchmark}: {name} was not scored{nearest(name, items)}",
                remedy="run the scoring stage of every model",
            )
    for name in models[1:]:
        _require_equal(benchmark, (models[0], items[models[0]]), (name, items[name]))
    # a stable sort: documents that occur twice keep their order and are paired
    return {name: sorted(items[name], key=lambda i: i.item) for name in models}


def _require_equal(
    benchmark: str, first: tuple[str, Sequence[Item]], other: tuple[str, Sequence[Item]]
) -> None:
    ours, theirs = (Counter((i.task, i.item) for i in items) for _, items in (first, other))
    if ours == theirs:
        return
    only_first, only_other = list((ours - theirs).elements()), list((theirs - ours).elements())
    example = (only_first or only_other)[0]
    raise InputError(
        f"{benchmark}: {first[0]} and {other[0]} were scored on different items: {len(only_first)} only with "
        f"{first[0]}, {len(only_other)} only with {other[0]} (for example {example[0]}:{example[1]})",
        remedy="score both with the same task version, limit, few-shot and seed",
    )


def _outcomes(
    items: Mapping[str, ItemsByModel],
    models: Sequence[str],
    benchmarks: Sequence[BenchmarkEntry],
    trainings: Trainings,
) -> Iterator[Outcomes]:
    """All rows: capabilities in order of appearance, each one's benchmarks and then its averages."""
    names = [name for model in models for name in trainings.get(model, (model,))]
    for capability in dict.fromkeys(b.capability for b in benchmarks):
        entries = [b for b in benchmarks if b.capability == capability and items.get(b.name)]
        found = [
            over_models(o, trainings)
            for b in entries
            for o in _benchmark_outcomes(b, same_items(b.name, items[b.name], names))
        ]
        yield from found
        yield from averages(capability, found)


def _benchmark_outcomes(entry: BenchmarkEntry, items: Mapping[str, Sequence[Item]]) -> Iterator[Outcomes]:
    present = {metric for each in items.values() for metric in metrics_of(each)}
    # no scores at all: model-written code was not executed; only likelihoods are known
    for position, metric in enumerate(entry.metrics if present else ()):
        yield _metric_outcomes(entry, metric, position == 0, items, present)
    yield from _bits_per_byte(entry, items)


def _metric_outcomes(
    entry: BenchmarkEntry, metric: str, headline: bool, items: Mapping[str, Sequence[Item]], present: set[str]
) -> Outcomes:
    for model, each in items.items():
        _require_metric(entry.name, metric, model, each, present)
    values = {model: np.array([item.scores[metric] for item in each]) for model, each in items.items()}
    share = is_share(values.values())
    scaled = {model: 100 * v for model, v in values.items()} if share else values
    return _of_benchmark(entry, metric, "%" if share else "score", headline, scaled, _first(items))


def is_share(values: Iterable[Floats]) -> bool:
    """Whether all scores lie in [0, 1]: then they are shown in percent, otherwise in their own unit."""
    return all(bool(np.all((v >= 0) & (v <= 1))) for v in values)


def _require_metric(
    benchmark: str, metric: str, model: str, items: Sequence[Item], present: set[str]
) -> None:
    missing = sum(metric not in item.scores for item in items)
    if missing:
        raise InputError(
            f"{benchmark}: {missing} of {len(items)} items of {model} have no metric {metric!r}"
            f"{nearest(metric, present - {metric})}",
            remedy=f"name one of {', '.join(sorted(present))} in the suite",
        )
    broken = next((item for item in items if not np.isfinite(item.scores[metric])), None)
    if broken is not None:
        raise InputError(
            f"{benchmark}: {metric} of {model} is {broken.scores[metric]} on item {broken.item}",
            remedy="check the model's weights and the task's metric: scores must be finite numbers",
        )


def _bits_per_byte(entry: BenchmarkEntry, items: Mapping[str, Sequence[Item]]) -> Iterator[Outcomes]:
    columns = {m: np.array([_finite(item.bits_per_byte) for item in each]) for m, each in items.items()}
    known = np.all(np.isfinite(np.stack(list(columns.values()))), axis=0)
    if known.any():
        values = {m: v[known] for m, v in columns.items()}
        asked = [item for item, has in zip(_first(items), known, strict=True) if has]
        yield _of_benchmark(entry, BITS_PER_BYTE, "bits/byte", False, values, asked)


def _finite(value: float | None) -> float:
    return float("nan") if value is None else value


def _first(items: Mapping[str, Sequence[Item]]) -> Sequence[Item]:
    """One model's items; the prompts are the same for all models."""
    return next(iter(items.values()))


def _of_benchmark(
    entry: BenchmarkEntry,
    metric: str,
    unit: Unit,
    headline: bool,
    values: Mapping[str, Floats],
    asked: Sequence[Item],
) -> Outcomes:
    return Outcomes(
        entry.capability,
        entry.name,
        metric,
        unit,
        higher_is_better(metric),
        headline,
        values,
        strata=(entry.name,) * len(asked),
        tasks=tuple(item.task for item in asked),
        clusters=clusters_of(asked),
    )
