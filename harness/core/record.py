"""What a run leaves behind: items, comparison, and the record `run.json` (schema version 1)."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

RUN_SCHEMA_VERSION: Literal[1] = 1
NO_TOOLCHAIN = "no toolchain: "  # how `BenchmarkEntry.executed` begins where a language cannot be run
AVERAGE = "average"  # the benchmark name of a capability's own rows
OVERALL = "overall"  # the capability name of the row over all capabilities


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())


class Role(StrEnum):
    """What a model is in the experiment (DESIGN: Words)."""

    TARGET = "target"
    SOURCE = "source"
    CONTROL = "control"
    FUSED = "fused"


class Item(Record):
    """One benchmark document scored with one model."""

    item: str  # hash of task name and document: the same for every model
    task: str
    scores: dict[str, float]  # metric, or "metric,filter" where that filter was not chosen; lm-eval's unit
    prediction: str  # the chosen answer, or the generated text
    gold: str
    prompt: str
    bits_per_byte: float | None = None  # of the gold continuation
    gold_bytes: int | None = None
    loglikelihoods: tuple[float, ...] = ()  # nats; every choice in order, or the target; () where generated
    cluster: str | None = None  # hash of a passage that other documents may ask about too


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
    smallest: float | None = None  # true difference that so many items show with 80 % power; None: not known
    between: float | None = None  # standard deviation between trainings; None: one training
    better: int  # items on which fused did better (gained), worse (lost); on average over trainings
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
    """What a trained model gained and lost against the target before, item by item, by the headline metric.

    Of a benchmark or, with `benchmark` == "average", of a capability: counts are sums over its benchmarks,
    `before`, `after` and `oracle` macro means. A source "has" an item where it scores more than the model
    that has not.
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
    transferred: int  # gained, and some source had it
    transferred_from: dict[str, int]  # source -> items of `transferred` that it had; several may have one
    interference: int  # lost, though a source and the target before had it
    before: float
    after: float
    oracle: float  # an item counts as its best answer by the target before or any source
    gap_closed: float | None  # percent: (after - before) / (oracle - before); None where there is no gap
    gap_low: float | None = None
    gap_high: float | None = None


class Verdict(Record):
    outcome: Literal["gain", "no change", "loss", "mixed", "none"]  # "none": nothing to judge
    sentence: str
    headline: str = ""  # the same in everyday words, with its certainty


class Comparison(Record):
    rows: tuple[Row, ...]
    overall: Row | None = None  # every capability counts the same; None where there is but one
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
    facts: dict[str, Any]  # what the stage counted: tokens, coverage, attribution ...
    tokens: int | None = None  # that a model read or was trained on
    flops: float | None = None  # estimated from them and the model's size (harness.core.effort)
    memory_bytes: int | None = None  # at the peak, where the system tells


class TrainingCurve(Record):
    """One training: what the Trainer logged, oldest first ({"step": .., "loss": .., ..})."""

    model: str
    tokens: int
    points: tuple[dict[str, float], ...]


class GainPerToken(Record):
    """A capability's lead over the control, percentage points for each million tokens of training."""

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
    coverage: dict[str, dict[str, float]]  # source -> share of positions and of mass that survive, in percent
    attribution: dict[str, float]  # model -> percent of fused positions it taught (AvgCE: weighs most in)
    attribution_by_part: dict[str, dict[str, float]] = {}  # corpus part -> the same; {} in older records
    comparison: Comparison
    gains: tuple[GainPerToken, ...] = ()
    notes: tuple[str, ...] = ()
