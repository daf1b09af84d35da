"""The record of a run (`run.json`) and the files beside it, from finished stages."""

import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.comparison.changes import TRAINED
from harness.comparison.compare import compare
from harness.core.effort import gains_per_token, model_effort
from harness.core.record import BenchmarkEntry, Item, ModelEntry, RunRecord, StageEntry, TrainingCurve
from harness.core.redaction import redact_all
from harness.core.run_files import ATTRIBUTION_FILE, items_path, read_items
from harness.pipeline.graph import Pipeline
from harness.pipeline.notes import run_notes, trainings_notes
from harness.pipeline.runner import StageResult
from harness.suite.spec import LoadedSuite, resolved

LIBRARIES = (
    "fusegauge",
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "datasets",
    "lm_eval",
    "numpy",
    "scipy",
    "mlflow",
)

Items = Mapping[str, Mapping[str, Sequence[Item]]]  # benchmark -> model -> items


def build_record(
    run: str, loaded: LoadedSuite, pipeline: Pipeline, outcomes: Mapping[str, StageResult], items: Items
) -> RunRecord:
    """The record of a run: comparison, models, benchmarks, stages, trainings, notes."""
    models = [_model_entry(p, outcomes) for p in pipeline.participants]
    benchmarks = _benchmark_entries(loaded, pipeline, outcomes, items)
    coverage, fusion = _coverage(outcomes), outcomes["fusion"].entry.facts
    named = [(m.name, m.role) for m in models]
    comparison = compare(items, named, benchmarks, loaded.suite.comparison, pipeline.trainings)
    repeats = [_model_entry(p, outcomes) for p in pipeline.repeats]
    parameters = {m.name: m.parameters for m in (*models, *repeats)}
    training = tuple(_curve(m.name, outcomes) for m in (*models, *repeats) if m.role in TRAINED)
    return RunRecord(
        run=run,
        suite=redact_all(resolved(loaded.suite)),
        overrides=redact_all(loaded.overrides),
        created=datetime.now(UTC),
        seed=loaded.suite.training_seeds[0],
        seeds=loaded.suite.training_seeds,
        versions=library_versions(),
        hardware=hardware(),
        models=tuple(models),
        repeats=tuple(repeats),
        benchmarks=tuple(benchmarks),
        stages=tuple(_stage_entry(s.name, s.key, outcomes[s.name], parameters) for s in pipeline.stages),
        training=training,
        coverage=coverage,
        attribution=fusion["attribution"],
        attribution_by_part=fusion["attribution_by_part"],
        comparison=comparison,
        gains=tuple(gains_per_token(comparison, training)),
        notes=(
            *trainings_notes(comparison),
            *run_notes(loaded.suite.fusion, coverage, benchmarks, _fallbacks(pipeline, outcomes)),
        ),
    )


def collect_items(
    loaded: LoadedSuite, pipeline: Pipeline, outcomes: Mapping[str, StageResult]
) -> dict[str, dict[str, list[Item]]]:
    """The items of every benchmark and model, repeated trainings included, from the scoring stages."""
    names = [b.name for group in loaded.suite.benchmarks.values() for b in group]
    return {
        name: {
            p.name: read_items(_items_path(pipeline, outcomes, p.name, name))
            for p in (*pipeline.participants, *pipeline.repeats)
        }
        for name in names
    }


def copy_items(run_dir: Path, pipeline: Pipeline, outcomes: Mapping[str, StageResult]) -> None:
    """Copy every model's items to `items/<benchmark>/<model>.parquet` in the run folder."""
    for model, benchmark in pipeline.scoring:
        place = items_path(run_dir, benchmark, model)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_items_path(pipeline, outcomes, model, benchmark), place)


def copy_attribution(run_dir: Path, outcomes: Mapping[str, StageResult]) -> None:
    """Copy `attribution.parquet` to the run folder: each model's share of every document's fused rows."""
    run_dir.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(outcomes["fusion"].entry.folder / ATTRIBUTION_FILE, run_dir / ATTRIBUTION_FILE)


def _items_path(pipeline: Pipeline, outcomes: Mapping[str, StageResult], model: str, benchmark: str) -> Path:
    return outcomes[pipeline.scoring[model, benchmark].name].entry.folder / "items.parquet"


def _model_entry(participant: Any, outcomes: Mapping[str, StageResult]) -> ModelEntry:
    facts = outcomes[participant.stage.name].entry.facts
    return ModelEntry(
        name=participant.name,
        role=participant.role,
        reference=participant.reference,
        fingerprint=facts["fingerprint"],
        parameters=facts["parameters"],
    )


def _benchmark_entries(
    loaded: LoadedSuite, pipeline: Pipeline, outcomes: Mapping[str, StageResult], items: Items
) -> list[BenchmarkEntry]:
    target = pipeline.participants[0].name
    entries = []
    for capability, group in loaded.suite.benchmarks.items():
        for spec in group:
            stage = pipeline.scoring[target, spec.name]
            entries.append(
                BenchmarkEntry(
                    name=spec.name,
                    capability=capability,
                    tasks=spec.tasks,
                    num_fewshot=spec.num_fewshot,
                    limit=spec.limit,
                    metrics=spec.metrics,
                    fingerprint=str(stage.params["tasks"]),
                    items=len(items[spec.name][target]),
                    executed=outcomes[stage.name].entry.facts["execution"],
                )
            )
    return entries


def _stage_entry(name: str, key: str, outcome: StageResult, parameters: Mapping[str, int]) -> StageEntry:
    entry = outcome.entry
    return StageEntry(
        name=name,
        key=key,
        seconds=entry.seconds,
        reused=outcome.reused,
        bytes=entry.bytes,
        facts={k: v for k, v in entry.facts.items() if k not in ("points", "peak_memory_bytes")},
        memory_bytes=entry.facts.get("peak_memory_bytes"),
        **model_effort(name, entry.facts, parameters),
    )


def _curve(name: str, outcomes: Mapping[str, StageResult]) -> TrainingCurve:
    facts = outcomes[f"training:{name}"].entry.facts
    return TrainingCurve(model=name, tokens=facts["tokens"], points=tuple(facts["points"]))


def _coverage(outcomes: Mapping[str, StageResult]) -> dict[str, dict[str, float]]:
    return {
        name.removeprefix("alignment:"): outcome.entry.facts["coverage"]
        for name, outcome in outcomes.items()
        if name.startswith("alignment:")
    }


def _fallbacks(pipeline: Pipeline, outcomes: Mapping[str, StageResult]) -> dict[str, str]:
    """Model -> why it was not read the fastest way, as its last benchmark recorded it."""
    facts = {model: outcomes[stage.name].entry.facts for (model, _), stage in pipeline.scoring.items()}
    return {model: str(found["fallback"]) for model, found in facts.items() if found.get("fallback")}


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that affect results."""
    return {"python": platform.python_version(), **{name: _version(name) for name in LIBRARIES}}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def hardware() -> dict[str, Any]:
    """The machine that the run was computed on, without its host name, since results are published."""
    import psutil
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": gpus,
    }
