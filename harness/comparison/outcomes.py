"""Outcomes of several models on the same items: the data of one comparison row, and its averages."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from harness.comparison.statistics import Design, Floats, macro_weights
from harness.core.formats import Unit
from harness.core.record import AVERAGE, OVERALL, Item

SCORE = "score"  # the metric name of the average of headline metrics
BITS_PER_BYTE = "bits_per_byte"


@dataclass(frozen=True)
class Outcomes:
    """Outcomes [n] of each model on the same items, in the row's unit, and how the items were sampled.

    `shares` are the weights of the benchmarks; empty: equal. `trainings` has, for models trained several
    times, the outcomes of every training; `values` has their means.
    """

    capability: str
    benchmark: str
    metric: str
    unit: Unit
    higher_is_better: bool
    headline: bool
    values: Mapping[str, Floats]
    strata: tuple[str, ...]  # [n] the benchmark of every item
    tasks: tuple[str, ...]  # [n] the task of every item: its items share a template
    clusters: tuple[str, ...] | None = None  # [n] items that share a passage share a label
    shares: Mapping[str, float] = field(default_factory=dict)
    trainings: Mapping[str, Floats] = field(default_factory=dict)  # [S, n] each

    @property
    def n(self) -> int:
        return len(self.strata)

    @cached_property
    def design(self) -> Design:
        fixed = tuple(f"{s}\0{t}" for s, t in zip(self.strata, self.tasks, strict=True))
        return Design(fixed, macro_weights(self.strata, self.shares or None), self.clusters)


def clusters_of(items: Sequence[Item]) -> tuple[str, ...] | None:
    """A label per item, equal for items of a task that share a passage; None if none do."""
    labels = tuple(f"{i.task}\0{i.item}" if i.cluster is None else f"{i.task}\0\0{i.cluster}" for i in items)
    shared = len(set(labels)) < len({(i.task, i.item) for i in items})
    return labels if shared else None


def over_models(outcomes: Outcomes, trainings: Mapping[str, Sequence[str]]) -> Outcomes:
    """Replace the outcomes of single trainings by those of their model: means, and all trainings stacked."""
    if not trainings:
        return outcomes
    repeats = {name for names in trainings.values() for name in names}
    stacked = {m: np.stack([outcomes.values[name] for name in names]) for m, names in trainings.items()}
    values = {m: v for m, v in outcomes.values.items() if m not in repeats}
    return replace(
        outcomes, values=values | {m: s.mean(axis=0) for m, s in stacked.items()}, trainings=stacked
    )


def averages(capability: str, found: Sequence[Outcomes]) -> Iterator[Outcomes]:
    """A capability's average rows: of headline metrics that are shares of 1, and of bits per byte."""
    shares = [o for o in found if o.headline and o.unit == "%" and o.higher_is_better and o.n]
    likelihoods = [o for o in found if o.metric == BITS_PER_BYTE]
    for metric, parts in ((SCORE, shares), (BITS_PER_BYTE, likelihoods)):
        if parts:
            yield _pooled(capability, metric, parts)


def overall(found: Sequence[Outcomes]) -> Outcomes | None:
    """The mean of the capabilities' average scores, with equal weights; None with only one capability."""
    parts = [o for o in found if o.benchmark == AVERAGE and o.metric == SCORE]
    if len(parts) < 2:
        return None
    shares = {
        name: 1 / (len(parts) * len(set(part.strata)))
        for part in parts
        for name in dict.fromkeys(part.strata)
    }
    return _pooled(OVERALL, SCORE, parts, shares)


def _pooled(
    capability: str, metric: str, parts: Sequence[Outcomes], shares: Mapping[str, float] | None = None
) -> Outcomes:
    first = parts[0]
    return Outcomes(
        capability,
        AVERAGE,
        metric,
        first.unit,
        first.higher_is_better,
        metric == SCORE,
        {model: np.concatenate([p.values[model] for p in parts]) for model in first.values},
        tuple(label for p in parts for label in p.strata),
        tuple(label for p in parts for label in p.tasks),
        _pooled_clusters(parts),
        shares or {},
        {m: np.concatenate([p.trainings[m] for p in parts], axis=1) for m in first.trainings},
    )


def _pooled_clusters(parts: Sequence[Outcomes]) -> tuple[str, ...] | None:
    if all(p.clusters is None for p in parts):
        return None
    return tuple(label for number, p in enumerate(parts) for label in _own_clusters(number, p))


def _own_clusters(number: int, part: Outcomes) -> Iterator[str]:
    labels = part.clusters or tuple(map(str, range(part.n)))
    return (f"{number}\0{benchmark}\0{label}" for benchmark, label in zip(part.strata, labels, strict=True))
