"""Items gained, lost, transferred and interfered with by training, and the gap to the oracle. Pure.

Notation, all [n] on the same items by the headline metric, with signs such that higher is better:
    before  the target before training
    after   a trained model (fused, or the control: what training alone changes)
    best    the best of the target before and all sources: the oracle, which picks the best model per item
An item is gained where after > before and lost where after < before; for several trainings the counts are
rounded means. A gained item is transferred where a source scores higher than before; a lost one is
interference where a source scores higher than after. The control shows what to subtract: no source taught it,
so its "transferred" items come from the text alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from harness.comparison.outcomes import Outcomes
from harness.comparison.statistics import Floats, bootstrap_ratios, expanded, percentiles
from harness.core.record import Change, Role
from harness.suite.spec import ComparisonSpec

TRAINED = (Role.CONTROL, Role.FUSED)


def changes_of(
    outcomes: Sequence[Outcomes], models: Sequence[tuple[str, Role]], spec: ComparisonSpec
) -> Iterator[Change]:
    """One Change per headline row and trained model; none without the target before training."""
    target = next((name for name, role in models if role is Role.TARGET), None)
    trained = [(name, role) for name, role in models if role in TRAINED]
    sources = [name for name, role in models if role is Role.SOURCE]
    for row in outcomes:
        if target is not None and row.headline and row.n and row.unit != "bits/byte":
            yield from (_change(row, target, model, sources, spec) for model in trained)


def _change(
    row: Outcomes, target: str, model: tuple[str, Role], sources: Sequence[str], spec: ComparisonSpec
) -> Change:
    name, role = model
    sign = 1.0 if row.higher_is_better else -1.0
    before, after = sign * row.values[target], sign * row.values[name]
    each = sign * row.trainings[name] if name in row.trainings else after[None]
    taught = {source: sign * row.values[source] for source in sources}
    best = np.maximum.reduce([before, *taught.values()])
    gained, lost = each > before, each < before
    gap, low, high = _gap(row, after - before, best - before, name, spec)
    return Change(
        capability=row.capability,
        benchmark=row.benchmark,
        metric=row.metric,
        unit="%" if row.unit == "%" else "score",
        model=name,
        role=role,
        n=row.n,
        gained=_count(gained),
        lost=_count(lost),
        kept=row.n - _count(gained) - _count(lost),
        transferred=_count(gained & (best > before)),
        transferred_from={s: _count(gained & (v > before)) for s, v in taught.items()},
        interference=_count(lost & _any_above(taught, each)),
        before=_mean(row, sign * before),
        after=_mean(row, sign * after),
        oracle=_mean(row, sign * best),
        gap_closed=gap,
        gap_low=low,
        gap_high=high,
    )


def _any_above(taught: Mapping[str, Floats], bound: Floats) -> NDArray[np.bool_]:
    """Where at least one source scores higher than `bound` [S, n]."""
    above = np.zeros(bound.shape, dtype=bool)
    for values in taught.values():
        above |= values > bound
    return above


def _count(found: NDArray[np.bool_]) -> int:
    """Number of items found in [S, n], averaged over the S trainings and rounded."""
    return round(float(found.sum()) / len(found))


def _mean(row: Outcomes, values: Floats) -> float:
    return float(np.mean(row.design.weights * values))


def _gap(
    row: Outcomes, moved: Floats, gap: Floats, model: str, spec: ComparisonSpec
) -> tuple[float | None, float | None, float | None]:
    """Percent of the gap to the oracle that is closed, and its bootstrap interval.

    No interval where too many resamples have no gap to determine both of its bounds.
    """
    design = row.design
    whole = float(np.sum(design.weights * gap))
    if whole <= 0:
        return None, None, None
    closed = 100 * float(np.sum(design.weights * moved)) / whole
    label = "\0".join((row.capability, row.benchmark, row.metric, model, "gap"))
    rng = np.random.default_rng([spec.seed, crc32(label.encode())])
    drawn = bootstrap_ratios(moved, gap, design, spec.resamples, rng)
    known = drawn[np.isfinite(drawn)]
    if known.size < len(drawn) * (1 + spec.confidence) / 2:
        return closed, None, None
    low, high = percentiles(100 * known, expanded(spec.confidence, design))
    return closed, low, high
