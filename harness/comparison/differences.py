"""Rows with scores and paired differences: intervals, tests, corrections, minimum detectable effects.

Rules
- p-values: exact McNemar where all scores are 0 or 1, all items weigh the same and none share a passage; else
  sign flips of the weighted differences, all items of a cluster together. Several trainings: `seed_variance`.
- `p_adjusted` is corrected, by Holm or Benjamini and Hochberg, over a family: the rows of one kind
  (capability averages; headline metrics; other metrics; bits per byte of either; overall), all opponents.
- `smallest` is the minimum detectable effect: the smallest true difference detected with 80 % power at the
  uncorrected level. For McNemar's test it is exact, with the share of items on which these two models
  differed; otherwise it is (z_(1 - alpha/2) + z_0.8) standard errors.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

import numpy as np

from harness.comparison.outcomes import SCORE, Outcomes
from harness.comparison.power import difference_beyond_spread, smallest_difference
from harness.comparison.seed_variance import over_trainings
from harness.comparison.statistics import (
    Design,
    Floats,
    benjamini_hochberg,
    bootstrap,
    holm,
    mcnemar_exact,
    paired_permutation,
)
from harness.core.formats import Unit
from harness.core.record import AVERAGE, OVERALL, Cell, Difference, Role, Row
from harness.suite.spec import ComparisonSpec

Models = Sequence[tuple[str, Role]]
Correction = Callable[[Sequence[float]], list[float]]
CORRECTIONS: Mapping[str, Correction] = {"holm": holm, "bh": benjamini_hochberg}


def rows_of(outcomes: Sequence[Outcomes], models: Models, spec: ComparisonSpec) -> tuple[Row, ...]:
    """All rows, with p-values corrected per family."""
    return adjusted([row_of(o, models, spec) for o in outcomes], CORRECTIONS[spec.correction])


def row_of(outcomes: Outcomes, models: Models, spec: ComparisonSpec) -> Row:
    """One row, without `p_adjusted`."""
    weights = outcomes.design.weights
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
    """Fused minus every other model; empty without a fused model."""
    fused = next((name for name, role in models if role is Role.FUSED), None)
    for name, role in models:
        if fused is not None and name != fused:
            yield _difference(outcomes, fused, (name, role), spec)


def _difference(
    outcomes: Outcomes, fused: str, opponent: tuple[str, Role], spec: ComparisonSpec
) -> Difference:
    name, role = opponent
    d = outcomes.values[fused] - outcomes.values[name]
    good = d if outcomes.higher_is_better else -d
    found = _estimate(outcomes, fused, name, spec)
    return Difference(
        opponent=name,
        role=role,
        difference=float(np.mean(outcomes.design.weights * d)),
        low=found.interval[0],
        high=found.interval[1],
        p_value=found.p_value,
        smallest=found.smallest,
        between=found.between,
        better=int(np.sum(good > 0)),
        worse=int(np.sum(good < 0)),
        n=outcomes.n,
    )


@dataclass(frozen=True)
class _Estimate:
    """Interval, p-value, minimum detectable effect and spread between trainings, in the row's unit."""

    interval: tuple[float, float]
    p_value: float
    smallest: float | None
    between: float | None = None


def _estimate(outcomes: Outcomes, fused: str, opponent: str, spec: ComparisonSpec) -> _Estimate:
    if fused in outcomes.trainings:
        return _of_several(outcomes, fused, opponent, spec)
    ours, theirs = outcomes.values[fused], outcomes.values[opponent]
    d, design = ours - theirs, outcomes.design
    rng = _rng(spec.seed, outcomes, opponent)
    drawn = bootstrap(d, design, spec.confidence, spec.resamples, rng)
    if _all_alike(design) and _right_or_wrong(outcomes.unit, ours, theirs):
        better, worse = int(np.sum(d > 0)), int(np.sum(d < 0))
        reach = _percent_found(outcomes.n, better + worse, spec.confidence)
        return _Estimate(drawn.interval, mcnemar_exact(better, worse), reach)
    p_value = paired_permutation(design.grouped(d), spec.resamples, rng)
    return _Estimate(
        drawn.interval, p_value, difference_beyond_spread(drawn.error, alpha=1 - spec.confidence)
    )


def _of_several(outcomes: Outcomes, fused: str, opponent: str, spec: ComparisonSpec) -> _Estimate:
    """Every training of fused minus the opponent's training with the same seed, or the opponent itself."""
    theirs = outcomes.trainings.get(opponent, outcomes.values[opponent])
    found = over_trainings(outcomes.trainings[fused] - theirs, outcomes.design, spec.confidence)
    reach = difference_beyond_spread(found.error, alpha=1 - spec.confidence)
    return _Estimate(found.interval, found.p_value, reach, found.between)


def _all_alike(design: Design) -> bool:
    return design.clusters is None and bool(np.ptp(design.weights) < 1e-12)


def _right_or_wrong(unit: Unit, *values: Floats) -> bool:
    return unit == "%" and all(bool(np.all((v == 0) | (v == 100))) for v in values)


@lru_cache(maxsize=4096)
def _percent_found(n: int, discordant: int, confidence: float) -> float | None:
    """Percentage points. If no item differed, one is assumed to: the true share is small, not zero."""
    found = smallest_difference(n, alpha=1 - confidence, discordant=max(discordant, 1) / n)
    return None if found is None else 100 * found


def _rng(seed: int, outcomes: Outcomes, opponent: str) -> np.random.Generator:
    """An independent random stream per cell: adding a benchmark or a model changes no other interval.

    The average of a single benchmark uses the stream of its headline row, so that both are equal.
    """
    metric = SCORE if outcomes.headline else outcomes.metric
    label = "\0".join((outcomes.capability, *sorted(set(outcomes.strata)), metric, opponent))
    return np.random.default_rng([seed, crc32(label.encode())])


def adjusted(rows: Sequence[Row], correct: Correction) -> tuple[Row, ...]:
    """The rows with `p_adjusted` filled in, family by family."""
    families: dict[object, list[tuple[int, int]]] = {}
    for i, row in enumerate(rows):
        for j in range(len(row.differences)):
            families.setdefault(_kind(row), []).append((i, j))
    found: dict[tuple[int, int], float] = {}
    for places in families.values():
        p_values = [rows[i].differences[j].p_value for i, j in places]
        found.update(zip(places, correct(p_values), strict=True))
    return tuple(
        _with_adjusted(row, [found[i, j] for j in range(len(row.differences))]) for i, row in enumerate(rows)
    )


def _kind(row: Row) -> tuple[bool, bool, bool, bool]:
    return row.capability == OVERALL, row.benchmark == AVERAGE, row.headline, row.unit == "bits/byte"


def _with_adjusted(row: Row, p_values: Sequence[float]) -> Row:
    differences = zip(row.differences, p_values, strict=True)
    return row.model_copy(
        update={"differences": tuple(d.model_copy(update={"p_adjusted": p}) for d, p in differences)}
    )
