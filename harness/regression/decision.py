"""Decides which benchmarks and capabilities have regressed or improved significantly. Pure.

A benchmark's headline metric, or a capability's macro mean of them, has regressed where
- fell: fused scores significantly worse than the baseline's fused, by more than the tolerance;
- lost its lead: its lead over its own control is significantly smaller, by more than the tolerance; it was
  significantly better than the control in the baseline and no longer is;
- fell below its own control: its lead is significantly smaller in the same sense, and fused is now
  significantly worse than its own control, which it was not in the baseline.
A lead is smaller where (fused - control) in this run minus the same in the baseline is negative. Losing
significance alone is no regression: the lead must also have shrunk significantly.
Worse is lower, except for the metrics where lower is better (harness.comparison.compare).

Significant means p < alpha after Holm's correction over all benchmarks and capabilities, separately for each
of these questions. The null hypothesis is a fall of exactly the tolerance t: with differences d, the signs of
d + t are flipped (with t = 0 and right or wrong on both sides: exact McNemar). Tests are two-sided and only
one side is an alarm, so models with the baseline's true accuracies are flagged with a probability of at most
alpha, half of it for falls and half for leads. A model that was trained again has other true accuracies; the
tolerance allows for how much they vary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.comparison.statistics import Floats, holm, mcnemar_exact, paired_permutation
from harness.core.formats import Unit
from harness.core.record import Record
from harness.regression.pairing import Paired, RowKind, capability_parts, pooled
from harness.suite.tolerance import Tolerances, of_benchmark, of_capability

RESAMPLES = 10_000

Cause = Literal["fell", "lost its lead over the control", "fell below its own control"]
Quantity = Callable[[Paired], Floats | None]


class RegressionRow(Record):
    """One benchmark's headline metric or one capability's average, in its unit (percent, if it is a share);
    differences are now minus baseline."""

    kind: RowKind
    name: str
    metric: str
    baseline: float
    now: float
    difference: float
    tolerance: float
    p_adjusted: float  # of the difference, after Holm over all rows
    p_beyond: float  # of its distance from a fall of exactly the tolerance, after Holm over all rows
    lead_baseline: float | None  # fused minus control, in the baseline
    lead_now: float | None
    n: int
    causes: tuple[Cause, ...]  # empty: held
    improved: bool
    unit: Unit = "%"
    higher_is_better: bool = True
    same_as: str = ""  # for a capability with one benchmark: that benchmark, whose row this repeats


@dataclass(frozen=True)
class _Tested:
    """A mean, positive if better, and its p-value after Holm; None where there is nothing to test."""

    mean: float | None
    p: float

    def below(self, bound: float, alpha: float) -> bool:
        return self.mean is not None and self.mean < bound and self.p < alpha

    def above(self, bound: float, alpha: float) -> bool:
        return self.mean is not None and self.mean > bound and self.p < alpha


def judged(pairs: Sequence[Paired], tolerances: Tolerances, alpha: float) -> tuple[RegressionRow, ...]:
    """A row per benchmark, then one per capability; a capability with one benchmark repeats its row."""
    parts = capability_parts(pairs)
    averages = [pooled(name, each) for name, each in parts.items() if len(each) > 1]
    rows = _rows([*pairs, *averages], tolerances, alpha)
    found = {(row.kind, row.name): row for row in rows}
    capabilities = [
        _repeated(found["benchmark", each[0].name], name) if len(each) == 1 else found["capability", name]
        for name, each in parts.items()
    ]
    return (*rows[: len(pairs)], *capabilities)


def _repeated(row: RegressionRow, capability: str) -> RegressionRow:
    return row.model_copy(update={"kind": "capability", "name": capability, "same_as": row.name})


def _rows(pairs: Sequence[Paired], tolerances: Tolerances, alpha: float) -> list[RegressionRow]:
    margins = [_tolerance(p, tolerances) for p in pairs]
    exactly = [0.0] * len(pairs)
    changes = _test(pairs, lambda p: p.fused.change, exactly)
    falls = _test(pairs, lambda p: p.fused.change, margins)
    leads = zip(
        _test(pairs, lambda p: p.lead.change if p.lead else None, margins),
        _test(pairs, lambda p: p.lead.then if p.lead else None, exactly),
        _test(pairs, lambda p: p.lead.now if p.lead else None, exactly),
        strict=True,
    )
    causes = [
        _causes(margin, alpha, fall, *lead) for margin, fall, lead in zip(margins, falls, leads, strict=True)
    ]
    found = zip(pairs, margins, changes, falls, causes, strict=True)
    return [_row(*each, improved=each[2].above(0, alpha)) for each in found]


def _tolerance(pair: Paired, tolerances: Tolerances) -> float:
    if pair.kind == "capability":
        return of_capability(tolerances, pair.name)
    return of_benchmark(tolerances, pair.name, pair.capability)


def _causes(
    margin: float, alpha: float, fall: _Tested, shrink: _Tested, then: _Tested, now: _Tested
) -> tuple[Cause, ...]:
    causes: list[Cause] = ["fell"] if fall.below(-margin, alpha) else []
    if shrink.below(-margin, alpha):
        if then.above(0, alpha) and not now.above(0, alpha):
            causes.append("lost its lead over the control")
        if now.below(0, alpha) and not then.below(0, alpha):
            causes.append("fell below its own control")
    return tuple(causes)


def _test(pairs: Sequence[Paired], quantity: Quantity, margins: Sequence[float]) -> list[_Tested]:
    """Test whether the quantity, positive if better, differs from -margin; Holm over pairs that have it."""
    goods = [None if (values := quantity(p)) is None else p.good(values) for p in pairs]
    existing = [(p, g, m) for p, g, m in zip(pairs, goods, margins, strict=True) if g is not None]
    adjusted = iter(holm([_p_value(p.weights * (g + m)) for p, g, m in existing]))
    return [
        _Tested(None, 1.0) if g is None else _Tested(p.mean(g), next(adjusted))
        for p, g in zip(pairs, goods, strict=True)
    ]


def _p_value(d: Floats) -> float:
    if set(np.unique(np.abs(d))) <= {0.0, 100.0}:  # right or wrong on both sides
        return mcnemar_exact(int(np.sum(d > 0)), int(np.sum(d < 0)))
    return paired_permutation(d, RESAMPLES, np.random.default_rng(0))


def _row(
    pair: Paired,
    margin: float,
    change: _Tested,
    fall: _Tested,
    causes: tuple[Cause, ...],
    *,
    improved: bool,
) -> RegressionRow:
    return RegressionRow(
        kind=pair.kind,
        name=pair.name,
        metric=pair.metric,
        baseline=pair.mean(pair.fused.then),
        now=pair.mean(pair.fused.now),
        difference=pair.mean(pair.fused.change),
        tolerance=margin,
        p_adjusted=change.p,
        p_beyond=fall.p,
        lead_baseline=pair.mean(pair.lead.then) if pair.lead else None,
        lead_now=pair.mean(pair.lead.now) if pair.lead else None,
        n=len(pair.weights),
        causes=causes,
        improved=improved,
        unit=pair.unit,
        higher_is_better=pair.higher_is_better,
    )
