"""The plan of a suite: which stages are finished, and what the others are estimated to cost."""

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from harness.pipeline.graph import Pipeline, checked_pipeline
from harness.pipeline.results_folder import Results
from harness.pipeline.stage import Stage
from harness.pipeline.store import Store
from harness.suite.run_options import RunOptions
from harness.suite.spec import LoadedSuite

if TYPE_CHECKING:
    from harness.pipeline.costs import StageCost


@dataclass(frozen=True)
class PlannedStage:
    """A stage, whether its output is in the store, and its estimated cost if it is not."""

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
            return [self.name, "done", "", "", "", "", ""]
        numbers = _numbers(self.tokens, self.flops, self.disk_bytes, self.memory_bytes, self.seconds)
        return [self.name, "to do", *numbers]


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
        tokens, flops = sum(s.tokens for s in todo), sum(s.flops for s in todo)
        numbers = _numbers(tokens, flops, sum(s.disk_bytes for s in todo), peak, sum(s.seconds for s in todo))
        return ["total", f"{len(todo)} to do", *numbers]

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


def make_plan(loaded: LoadedSuite, options: RunOptions, results: Results) -> Plan:
    """All stages; those not in the store with estimates from a short measurement of this machine's speed.

    A model whose size is not known before it is fetched is left out of the sums, and `assumptions` names it.
    """
    from harness.pipeline.costs import ASSUMPTIONS, estimate, matmul_speed

    pipeline = checked_pipeline(loaded, options)
    store = results.store
    known = _parameters(loaded, pipeline, store)
    size = _corpus_bytes(loaded, options, pipeline, store)
    speed = matmul_speed(loaded.suite.scoring.device)
    costs = estimate(loaded, known, size, speed)
    stages = tuple(_planned(s, store.has(s.name, s.key), costs.get(s.name)) for s in pipeline.stages)
    models = (loaded.suite.target, *loaded.suite.sources)
    unknown = [m.name for m in models if m.name not in known]
    missing = f"; not counted, size unknown before `prepare`: {', '.join(unknown)}" if unknown else ""
    return Plan(loaded.suite.name, stages, f"Estimated at {speed / 1e9:.0f} GFLOP/s: {ASSUMPTIONS}{missing}.")


def _planned(stage: Stage, present: bool, cost: "StageCost | None") -> PlannedStage:
    planned = PlannedStage(stage.name, stage.key, present)
    return replace(planned, **cost) if cost else planned


def _parameters(loaded: LoadedSuite, pipeline: Pipeline, store: Store) -> dict[str, int]:
    """Sizes of the models that are available already."""
    from fusion.models import count_parameters

    named = {m.name for m in (loaded.suite.target, *loaded.suite.sources)}
    known = {}
    for model in pipeline.participants:
        if model.name in named and model.local:
            known[model.name] = count_parameters(model.local)
        elif model.name in named and store.has(model.stage.name, model.stage.key):
            known[model.name] = store.open(model.stage.name, model.stage.key).facts["parameters"]
    return known


def _corpus_bytes(loaded: LoadedSuite, options: RunOptions, pipeline: Pipeline, store: Store) -> int:
    corpus = next(s for s in pipeline.stages if s.name == "corpus")
    if store.has(corpus.name, corpus.key):
        return int(store.open(corpus.name, corpus.key).facts["bytes"])
    spec = loaded.suite.corpus
    if spec.kind == "hub" and spec.max_bytes:
        return spec.max_bytes
    from harness.data.corpus import load_documents

    documents = load_documents(spec, loaded.folder, mirror=options.mirror, offline=options.offline)
    return sum(len(text.encode()) for text in documents.texts)
