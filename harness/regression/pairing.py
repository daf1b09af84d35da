"""Paired outcomes of run and baseline: per item for each benchmark, pooled for each capability."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.comparison.compare import higher_is_better, is_share
from harness.comparison.statistics import Floats, macro_weights
from harness.core.formats import Unit
from harness.core.record import AVERAGE, Role
from harness.regression.baseline import Baseline, BenchmarkOutcomes

RowKind = Literal["benchmark", "capability"]


@dataclass(frozen=True)
class Sides:
    """One quantity per item [n], in the row's unit: in this run and in the baseline, in the same order."""

    now: Floats
    then: Floats

    @property
    def change(self) -> Floats:
        return self.now - self.then


@dataclass(frozen=True)
class Paired:
    """A benchmark's headline metric, or the macro mean of a capability's (`weights` [n], of mean 1)."""

    kind: RowKind
    name: str
    capability: str
    metric: str
    unit: Unit
    higher_is_better: bool
    fused: Sides
    lead: Sides | None  # fused minus control; None without a control
    weights: Floats

    def good(self, values: Floats) -> Floats:
        """The values, positive where they mean an improvement."""
        return values if self.higher_is_better else -values

    def mean(self, values: Floats) -> float:
        return float(np.mean(self.weights * values))


def benchmark_pairs(baseline: Baseline, now: Mapping[str, BenchmarkOutcomes]) -> list[Paired]:
    """Every benchmark with scores in the baseline; both sides have the same items in the same order."""
    return [_pair(name, then, now[name]) for name, then in baseline.benchmarks.items() if then.metrics]


def capability_parts(pairs: Sequence[Paired]) -> dict[str, list[Paired]]:
    """Capability -> the benchmarks in its average: as in the comparison, shares where higher is better."""
    parts: dict[str, list[Paired]] = {}
    for pair in pairs:
        if pair.unit == "%" and pair.higher_is_better:
            parts.setdefault(pair.capability, []).append(pair)
    return parts


def _pair(name: str, then: BenchmarkOutcomes, now: BenchmarkOutcomes) -> Paired:
    metric = then.metrics[0]
    share = is_share(_scores(side, role, metric) for side in (now, then) for role in side.outcomes)
    scale = 100.0 if share else 1.0
    fused = Sides(*(scale * _scores(side, Role.FUSED, metric) for side in (now, then)))
    controlled = all(Role.CONTROL in side.outcomes for side in (now, then))
    leads = [_lead(side, metric, scale) for side in (now, then)] if controlled else []
    return Paired(
        "benchmark",
        name,
        then.capability,
        metric,
        "%" if share else "score",
        higher_is_better(metric),
        fused,
        Sides(*leads) if leads else None,
        np.ones(len(fused.now)),
    )


def _scores(side: BenchmarkOutcomes, role: Role, metric: str) -> Floats:
    return np.asarray(side.outcomes[role][metric], dtype=np.float64)


def _lead(side: BenchmarkOutcomes, metric: str, scale: float) -> Floats:
    return scale * (_scores(side, Role.FUSED, metric) - _scores(side, Role.CONTROL, metric))


def pooled(capability: str, parts: Sequence[Paired]) -> Paired:
    """The capability's average, with equal weights of its benchmarks."""
    leads = [p.lead for p in parts if p.lead is not None]
    return Paired(
        "capability",
        capability,
        capability,
        AVERAGE,
        "%",
        True,
        _joined([p.fused for p in parts]),
        _joined(leads) if len(leads) == len(parts) else None,
        macro_weights([p.name for p in parts for _ in p.weights]),
    )


def _joined(sides: Sequence[Sides]) -> Sides:
    return Sides(np.concatenate([s.now for s in sides]), np.concatenate([s.then for s in sides]))
