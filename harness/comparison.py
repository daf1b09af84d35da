"""Items of several models -> what the fused target gained and lost against each of the others.

Rules
- Every model must have been scored on the same items; they are paired by the item's hash.
- A metric whose scores all lie in [0, 1] is a share and is shown in percent. Any other metric (perplexity,
  for example) keeps its own unit, "score", and joins no average.
- Lower is better for bits per byte and the metrics in LOWER_IS_BETTER; there a negative difference is good.
- Bits per byte is the mean over the items where every model has it; each item counts the same.
- A capability's average counts each of its benchmarks the same (macro mean of headline metrics).
- p-values: exact McNemar where all scores are 0 or 1 and all items weigh the same, else sign flips.
  `p_adjusted` is Holm's, over the rows of one kind (capability averages; headline metrics; other metrics;
  bits per byte of either) for one opponent.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from harness.errors import InputError, nearest
from harness.formats import Unit
from harness.items import metrics_of
from harness.results import AVERAGE, BenchmarkEntry, Cell, Comparison, Difference, Item, Role, Row
from harness.statistics import (
    Floats,
    holm,
    macro_weights,
    mcnemar_exact,
    paired_bootstrap_interval,
    paired_permutation,
)
from harness.suite import ComparisonSpec
from harness.verdict import verdict

SCORE = "score"  # the metric name of the average of headline metrics
BITS_PER_BYTE = "bits_per_byte"
LOWER_IS_BETTER = frozenset(
    {BITS_PER_BYTE, "perplexity", "word_perplexity", "byte_perplexity", "brier_score", "ter", "timed_out"}
)  # lm-eval's own per-document "perplexity" is a log-likelihood; scoring refuses it

Models = Sequence[tuple[str, Role]]
ItemsByModel = Mapping[str, Sequence[Item]]


@dataclass(frozen=True)
class Outcomes:
    """One row before statistics: per model its outcomes [n] on the same items, in the row's unit."""

    capability: str
    benchmark: str
    metric: str
    unit: Unit
    higher_is_better: bool
    headline: bool
    values: Mapping[str, Floats]
    strata: tuple[str, ...]  # [n] the benchmark of every item

    @property
    def n(self) -> int:
        return len(self.strata)


def higher_is_better(metric: str) -> bool:
    """The direction of a metric (or `metric,filter`), for comparison and regression check alike."""
    return metric.partition(",")[0] not in LOWER_IS_BETTER


def compare(
    items: Mapping[str, ItemsByModel],
    models: Models,
    benchmarks: Sequence[BenchmarkEntry],
    spec: ComparisonSpec,
) -> Comparison:
    """Compare all models on all benchmarks that were scored; `items` is benchmark -> model -> items.

    Raises InputError where a model lacks a benchmark, an item or a metric that another one has.
    """
    outcomes = list(_outcomes(items, [name for name, _ in models], benchmarks))
    rows = _adjusted([_row(o, models, spec) for o in outcomes])
    return Comparison(rows=rows, confidence=spec.confidence, verdict=verdict(rows, spec.confidence))


def same_items(benchmark: str, items: ItemsByModel, models: Sequence[str]) -> dict[str, list[Item]]:
    """Each model's items in one common order. Raises InputError that names what differs."""
    for name in models:
        if name not in items:
            raise InputError(
                f"{benchmark}: {name} was not scored{nearest(name, items)}",
                remedy="run the scoring stage of every model",
            )
    for name in models[1:]:
        _require_equal(benchmark, (models[0], items[models[0]]), (name, items[name]))
    # a stable sort: documents that occur twice keep their own order and pair up
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
    items: Mapping[str, ItemsByModel], models: Sequence[str], benchmarks: Sequence[BenchmarkEntry]
) -> Iterator[Outcomes]:
    """All rows: capabilities in order of appearance, each one's benchmarks and then its averages."""
    for capability in dict.fromkeys(b.capability for b in benchmarks):
        entries = [b for b in benchmarks if b.capability == capability and items.get(b.name)]
        found = [
            o for b in entries for o in _benchmark_outcomes(b, same_items(b.name, items[b.name], models))
        ]
        yield from found
        yield from _averages(capability, found)


def _benchmark_outcomes(entry: BenchmarkEntry, items: Mapping[str, Sequence[Item]]) -> Iterator[Outcomes]:
    present = {metric for each in items.values() for metric in metrics_of(each)}
    # no scores at all: model-written code was not run; only its likelihood is known
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
    return _of_benchmark(entry, metric, "%" if share else "score", headline, scaled)


def is_share(values: Iterable[Floats]) -> bool:
    """Whether all scores lie in [0, 1]: they are shown in percent then, else in their own unit."""
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
            remedy="look at the model's weights and at the task's metric: scores must be finite numbers",
        )


def _bits_per_byte(entry: BenchmarkEntry, items: Mapping[str, Sequence[Item]]) -> Iterator[Outcomes]:
    columns = {m: np.array([_finite(item.bits_per_byte) for item in each]) for m, each in items.items()}
    known = np.all(np.isfinite(np.stack(list(columns.values()))), axis=0)
    if known.any():
        yield _of_benchmark(
            entry, BITS_PER_BYTE, "bits/byte", False, {m: v[known] for m, v in columns.items()}
        )


def _finite(value: float | None) -> float:
    return float("nan") if value is None else value


def _of_benchmark(
    entry: BenchmarkEntry, metric: str, unit: Unit, headline: bool, values: Mapping[str, Floats]
) -> Outcomes:
    n = len(next(iter(values.values())))
    return Outcomes(
        entry.capability,
        entry.name,
        metric,
        unit,
        higher_is_better(metric),
        headline,
        values,
        (entry.name,) * n,
    )


def _averages(capability: str, found: Sequence[Outcomes]) -> Iterator[Outcomes]:
    shares = [o for o in found if o.headline and o.unit == "%" and o.higher_is_better and o.n]
    likelihoods = [o for o in found if o.metric == BITS_PER_BYTE]
    for metric, parts in ((SCORE, shares), (BITS_PER_BYTE, likelihoods)):
        if parts:
            yield _pooled(capability, metric, parts)


def _pooled(capability: str, metric: str, parts: Sequence[Outcomes]) -> Outcomes:
    first = parts[0]
    values = {model: np.concatenate([p.values[model] for p in parts]) for model in first.values}
    strata = tuple(label for p in parts for label in p.strata)
    return Outcomes(
        capability, AVERAGE, metric, first.unit, first.higher_is_better, metric == SCORE, values, strata
    )


def _row(outcomes: Outcomes, models: Models, spec: ComparisonSpec) -> Row:
    weights = macro_weights(outcomes.strata)
    cells = [
        Cell(model=name, role=role, value=float(np.mean(weights * outcomes.values[name])), n=outcomes.n)
        for name, role in models
        if outcomes.n
    ]
    return Row(
        capability=outcomes.capability,
        benchmark=outcomes.benchmark,
        metric=outcomes.metric,
        unit=outcomes.unit,
        higher_is_better=outcomes.higher_is_better,
        headline=outcomes.headline,
        cells=tuple(cells),
        differences=tuple(_differences(outcomes, models, spec)) if outcomes.n else (),
    )


def _differences(outcomes: Outcomes, models: Models, spec: ComparisonSpec) -> Iterator[Difference]:
    """Fused minus every other model; nothing where no model is fused."""
    fused = next((name for name, role in models if role is Role.FUSED), None)
    for name, role in models:
        if fused is not None and name != fused:
            yield _difference(outcomes, fused, (name, role), spec)


def _difference(
    outcomes: Outcomes, fused: str, opponent: tuple[str, Role], spec: ComparisonSpec
) -> Difference:
    name, role = opponent
    ours, theirs = outcomes.values[fused], outcomes.values[name]
    d = ours - theirs
    weights = macro_weights(outcomes.strata)
    rng = _rng(spec.seed, outcomes, name)
    low, high = paired_bootstrap_interval(d, spec.confidence, spec.resamples, rng, outcomes.strata)
    good = d if outcomes.higher_is_better else -d
    better, worse = int(np.sum(good > 0)), int(np.sum(good < 0))
    exact = bool(np.ptp(weights) == 0) and _right_or_wrong(outcomes.unit, ours, theirs)
    return Difference(
        opponent=name,
        role=role,
        difference=float(np.mean(weights * d)),
        low=low,
        high=high,
        p_value=mcnemar_exact(better, worse)
        if exact
        else paired_permutation(weights * d, spec.resamples, rng),
        better=better,
        worse=worse,
        n=outcomes.n,
    )


def _right_or_wrong(unit: Unit, *values: Floats) -> bool:
    return unit == "%" and all(bool(np.all((v == 0) | (v == 100))) for v in values)


def _rng(seed: int, outcomes: Outcomes, opponent: str) -> np.random.Generator:
    """A stream of its own for every cell: adding a benchmark or a model moves no other interval.

    The average of a single benchmark draws as its headline row does, so that both say the same.
    """
    metric = SCORE if outcomes.headline else outcomes.metric
    label = "\0".join((outcomes.capability, *sorted(set(outcomes.strata)), metric, opponent))
    return np.random.default_rng([seed, crc32(label.encode())])


def _kind(row: Row) -> tuple[bool, bool, bool]:
    return row.benchmark == AVERAGE, row.headline, row.unit == "bits/byte"


def _adjusted(
    rows: Sequence[Row], correct: Callable[[Sequence[float]], list[float]] = holm
) -> tuple[Row, ...]:
    """The rows with p_adjusted filled in, family by family (one kind of row, one opponent)."""
    families: dict[object, list[tuple[int, int]]] = {}
    for i, row in enumerate(rows):
        for j, difference in enumerate(row.differences):
            families.setdefault((_kind(row), difference.opponent), []).append((i, j))
    adjusted: dict[tuple[int, int], float] = {}
    for places in families.values():
        p_values = [rows[i].differences[j].p_value for i, j in places]
        adjusted.update(zip(places, correct(p_values), strict=True))
    return tuple(
        row.model_copy(
            update={
                "differences": tuple(
                    d.model_copy(update={"p_adjusted": adjusted[i, j]}) for j, d in enumerate(row.differences)
                )
            }
        )
        for i, row in enumerate(rows)
    )
