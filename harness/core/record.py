"""Types of a run's results: items, comparison, and the record `run.json` (schema version 1)."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

RUN_SCHEMA_VERSION: Literal[1] = 1
NO_TOOLCHAIN = "no toolchain: "  # start of `BenchmarkEntry.executed` where a toolchain is missing
AVERAGE = "average"  # the benchmark name in the rows of a capability's average
OVERALL = "overall"  # the capability name of the row over all capabilities


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())


class Role(StrEnum):
    """A model's role in the experiment."""

    TARGET = "target"
    SOURCE = "source"
    CONTROL = "control"
    FUSED = "fused"


class Item(Record):
    """One benchmark document scored with one model."""

    item: str  # hash of task name and document: the same for every model
    task: str
    scores: dict[str, float]  # by metric, or "metric,filter" for a filter not chosen; in lm-eval's unit
    prediction: str  # the chosen answer, or the generated text
    gold: str
    prompt: str
    bits_per_byte: float | None = None  # of the gold continuation
    gold_bytes: int | None = None
    loglikelihoods: tuple[float, ...] = ()  # nats: of every choice, or of the gold text; () where generated
    cluster: str | None = None  # hash of the passage, where several documents ask about the same one


def metrics_of(items: Sequence[Item]) -> tuple[str, ...]:
    """Every metric that any item carries, in order of first appearance."""
    return tuple(dict.fromkeys(metric for item in items for metric in item.scores))


class ModelEntry(Record):
    name: str
    role: Role
    reference: str  # as the suite names it
    fingerprint: str  # sha256 of the weights
    parameters: int


class BenchmarkEntry(Record):
    name: str
    capability: str
    tasks: tuple[str, ...]
    num_fewshot: int | None
    limit: int | None
    metrics: tuple[str, ...]
    fingerprint: str  # of tasks' configuration, data, few-shot and seed
    items: int
    executed: str = ""  # "": no code; sandbox, reduced, subprocess, refused; NO_TOOLCHAIN and languages


class Cell(Record):
    """One model's score on one row, in the row's unit."""

    model: str
    role: Role
    value: float
    n: int


class Difference(Record):
    """Fused minus opponent over the same items, in the row's unit, with a paired interval."""

    opponent: str
    role: Role
    difference: float
    low: float
    high: float
    p_value: float
    p_adjusted: float = 1.0  # corrected over rows of one kind and all opponents
    smallest: float | None = None  # minimum detectable effect at 80 % power; None: not known
    between: float | None = None  # standard deviation between trainings; None: only one
    better: int  # items on which fused is better; mean over trainings
    worse: int
    n: int


class Row(Record):
    """One metric of one benchmark (or, with `benchmark` == "average", of one capability)."""

    capability: str
    benchmark: str
    metric: str
    unit: Literal["%", "bits/byte", "score"]  # "score": a metric that is no share of 1, in its own unit
    higher_is_better: bool
    headline: bool
    cells: tuple[Cell, ...]
    differences: tuple[Difference, ...]


class Change(Record):
    """Items that a trained model gained and lost against the target before training, by the headline metric.

    For a benchmark or, with `benchmark` == "average", for a capability: counts are sums over its benchmarks,
    `before`, `after` and `oracle` are macro averages. A source "has" an item if it scores higher on it than
    the model that fails: the target before (`transferred`) or the trained model (`interference`).
    """

    capability: str
    benchmark: str
    metric: str
    unit: Literal["%", "score"]
    model: str
    role: Role  # fused or control
    n: int
    gained: int  # the target before was wrong, this model is right (or scores better)
    lost: int
    kept: int
    transferred: int  # gained, and a source has it
    transferred_from: dict[str, int]  # source -> items of `transferred` that it has; sums may exceed it
    interference: int  # lost, although a source has it
    before: float
    after: float
    oracle: float  # score if each item had the best answer of the target before and all sources
    gap_closed: float | None  # percent: (after - before) / (oracle - before); None if oracle = before
    gap_low: float | None = None
    gap_high: float | None = None


class Verdict(Record):
    outcome: Literal["gain", "no change", "loss", "mixed", "none"]  # "none": nothing to judge
    sentence: str
    headline: str = ""  # the same for readers without statistics, with its certainty


class Comparison(Record):
    rows: tuple[Row, ...]
    overall: Row | None = None  # capabilities are weighted equally; None if there is only one
    confidence: float
    correction: Literal["holm", "bh"] = "holm"  # of p-values, over rows of one kind and all opponents
    trainings: int = 1  # of fused and control, over which scores are means
    changes: tuple[Change, ...] = ()
    verdict: Verdict


class StageEntry(Record):
    name: str
    key: str
    seconds: float
    reused: bool
    bytes: int
    facts: dict[str, Any]  # recorded by the stage: tokens, coverage, attribution ...
    tokens: int | None = None  # that a model read or was trained on
    flops: float | None = None  # estimated from them and the model's size (harness.core.effort)
    memory_bytes: int | None = None  # at the peak, where the system reports it


class TrainingCurve(Record):
    """One training: what the Trainer logged, oldest first ({"step": .., "loss": .., ..})."""

    model: str
    tokens: int
    points: tuple[dict[str, float], ...]


class GainPerToken(Record):
    """A capability's lead over the control in percentage points per million training tokens."""

    capability: str
    tokens: int  # that fused, and the control, were trained on
    points: float
    low: float
    high: float


class RunRecord(Record):
    """`run.json`. Items are beside it in `items/<benchmark>/<model>.parquet`."""

    schema_version: Literal[1] = RUN_SCHEMA_VERSION
    run: str
    suite: dict[str, Any]
    overrides: tuple[str, ...]
    created: datetime
    seed: int
    versions: dict[str, str]
    hardware: dict[str, Any]
    models: tuple[ModelEntry, ...]
    seeds: tuple[int, ...] = ()  # of all trainings, the shown one's first; () in older records
    repeats: tuple[ModelEntry, ...] = ()  # fused and control trained again with the other seeds
    benchmarks: tuple[BenchmarkEntry, ...]
    stages: tuple[StageEntry, ...]
    training: tuple[TrainingCurve, ...]
    coverage: dict[str, dict[str, float]]  # source -> positions and mass that remain, in percent
    attribution: dict[str, float]  # model -> percent of fused rows from it (AvgCE: with its weight largest)
    attribution_by_part: dict[str, dict[str, float]] = {}  # corpus part -> the same; {} in older records
    comparison: Comparison
    gains: tuple[GainPerToken, ...] = ()
    notes: tuple[str, ...] = ()
