"""`plan` and `prepare`: what a suite needs before its stages run, and what they will cost."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.experiment import Results, checked_pipeline
from harness.pipeline import Pipeline, Settings
from harness.runner import Observer, run_stages
from harness.store import Store
from harness.suite import LoadedSuite


@dataclass(frozen=True)
class PlannedStage:
    """A stage, whether its result is there, and its cost if it is not."""

    name: str
    key: str
    present: bool
    tokens: int = 0
    flops: float = 0.0
    disk_bytes: int = 0
    memory_bytes: int = 0
    seconds: float = 0.0

    def cells(self) -> list[str]:
        if self.present:
            return [self.name, "there", "", "", "", "", ""]
        return [self.name, "to do", *_numbers(self.tokens, self.flops, self.disk_bytes, self.memory_bytes, self.seconds)]


@dataclass(frozen=True)
class Plan:
    """What running a suite will do on this machine."""

    suite: str
    stages: tuple[PlannedStage, ...]
    assumptions: str

    @property
    def present(self) -> int:
        return sum(s.present for s in self.stages)

    def total_cells(self) -> list[str]:
        todo = [s for s in self.stages if not s.present]
        peak = max((s.memory_bytes for s in todo), default=0)
        sums = [sum(getattr(s, name) for s in todo) for name in ("tokens", "flops", "disk_bytes")]
        return ["total", f"{len(todo)} to do", *_numbers(*sums, peak, sum(s.seconds for s in todo))]

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=1)


def _numbers(tokens: float, flops: float, disk: float, memory: float, seconds: float) -> list[str]:
    return [
        f"{tokens:,.0f}" if tokens else "",
        f"{flops / 1e12:,.2f}" if flops else "",
        f"{disk / 1e6:,.1f}" if disk else "",
        f"{memory / 1e9:,.2f}" if memory else "",
        f"{seconds / 60:,.1f}",
    ]


def make_plan(loaded: LoadedSuite, settings: Settings, results: Results) -> Plan:
    """Stages with what is there, and estimates of the rest from a short probe of this machine's speed."""
    from harness.costs import ASSUMPTIONS, estimate, matmul_speed

    pipeline = checked_pipeline(loaded, settings)
    store = results.store
    costs = estimate(loaded, parameters(pipeline, store), corpus_bytes(loaded, pipeline, store), matmul_speed())
    stages = tuple(
        PlannedStage(s.name, s.key, store.has(s.name, s.key), **costs.get(s.name, {})) for s in pipeline.stages
    )
    return Plan(loaded.suite.name, stages, ASSUMPTIONS)
