"""One model as an MLflow run: parameters, scores, training curves, answers."""

from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from harness.core.record import BenchmarkEntry, Item, ModelEntry, Role, RunRecord, TrainingCurve
from harness.core.run_files import items_path, read_items
from harness.tracking.metric_names import clean, metric_key
from harness.tracking.run_plan import COMPARISON, ROLE, DatasetPlan, Point, RunPlan, compact, digest, flat
from harness.tracking.scores import KeyedRow, scores_of

TABLE_ROWS = 2000  # per benchmark: six models' tables of this length open in a few seconds
TEXT_SHOWN = 800  # characters of a prompt or an answer; whole texts stay in items/*.parquet
POINTS = 1000  # of one training curve
LARGEST_TAG = 7500  # MLflow silently truncates a tag at 8000 characters

# Okabe and Ito's palette, distinct for colour-blind readers; sources use what the three roles leave.
ROLE_COLOURS = {Role.FUSED: "#D55E00", Role.TARGET: "#0072B2", Role.CONTROL: "#56B4E9"}
SOURCE_COLOURS = ("#009E73", "#CC79A7", "#E69F00", "#F0E442", "#999999", "#000000")


def model_plans(record: RunRecord, run_dir: Path, rows: Sequence[KeyedRow]) -> Iterator[RunPlan]:
    """One plan per model, generated lazily: a plan holds its model's tables in memory."""
    colours = colours_of(record.models)
    for position, model in enumerate(record.models):
        yield _model_plan(record, run_dir, rows, model, position, colours[model.name])


def colours_of(models: Sequence[ModelEntry]) -> dict[str, str]:
    """Model -> colour; sources in order, so that a model has the same colour in every view of a run."""
    sources = [m.name for m in models if m.role not in ROLE_COLOURS]
    chosen = {m.name: ROLE_COLOURS[m.role] for m in models if m.role in ROLE_COLOURS}
    return chosen | {name: SOURCE_COLOURS[i % len(SOURCE_COLOURS)] for i, name in enumerate(sources)}


def _model_plan(
    record: RunRecord,
    run_dir: Path,
    rows: Sequence[KeyedRow],
    model: ModelEntry,
    position: int,
    colour: str,
) -> RunPlan:
    curve = next((c for c in record.training if c.model == model.name), None)
    tables = _tables(record.benchmarks, run_dir, model.name)
    started = start_of(record) + 1 + position  # keeps the models in the record's order
    return RunPlan(
        key=digest([record.run, model.name]),
        name=model.name,
        started=started,
        duration=1000,
        tags={
            COMPARISON: record.run,
            ROLE: model.role.value,
            "mlflow.runColor": colour,
            "mlflow.loggedArtifacts": _logged(list(tables)),
        },
        params=_params(record, model, curve),
        metrics=scores_of(model.name, rows),
        series=_series(curve) if curve else {},
        datasets=tuple(_dataset(benchmark) for benchmark in record.benchmarks),
        texts=tables,
    )


def start_of(record: RunRecord) -> int:
    """The timestamp in milliseconds with which all of a run is logged."""
    return int(record.created.timestamp() * 1000)


def _params(record: RunRecord, model: ModelEntry, curve: TrainingCurve | None) -> dict[str, str]:
    known = {
        "model": model.name,
        "role": model.role.value,
        "reference": model.reference,
        "fingerprint": model.fingerprint,
        "parameters": str(model.parameters),
        "seed": str(record.seed),
    }
    if curve:
        known |= {"training.tokens": str(curve.tokens), **flat("training", record.suite.get("training", {}))}
    return known | _method(record.suite.get("fusion", {}), model.role)


def _method(fusion: dict[str, Any], role: Role) -> dict[str, str]:
    """The fusion parameters of the fused model; the control has lambda 1 by definition."""
    if role == Role.CONTROL:
        return {"lambda": "1"}
    if role != Role.FUSED:
        return {}
    rest = {key: value for key, value in fusion.items() if key != "lm_loss_weight"}
    weight = {"lambda": compact(fusion["lm_loss_weight"])} if "lm_loss_weight" in fusion else {}
    return weight | {key.removeprefix("fusion."): value for key, value in flat("fusion", rest).items()}


def _series(curve: TrainingCurve) -> dict[str, tuple[Point, ...]]:
    """The Trainer's log per key; non-finite values are dropped, long curves are thinned evenly."""
    found: dict[str, dict[int, float]] = {}
    for index, point in enumerate(curve.points):
        step = int(point.get("step", index))
        for key, value in point.items():
            if key != "step" and isinstance(value, int | float) and isfinite(value):
                found.setdefault(metric_key("training", key), {})[step] = float(value)
    return {key: _thin(tuple(sorted(steps.items()))) for key, steps in found.items()}


def curve_keys(curves: Sequence[TrainingCurve]) -> list[str]:
    """Metrics with more than one step: the training loss, then other losses, then the rest."""
    series: dict[str, tuple[Point, ...]] = {}
    for curve in curves:
        series |= {key: points for key, points in _series(curve).items() if len(points) > 1}
    return sorted(series, key=lambda key: (key != "training/loss", "loss" not in key, key))


def _thin(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """At most POINTS + 1 points, always with the last one: it is the value shown in tables."""
    stride = -(-len(points) // POINTS)
    return points if stride <= 1 else tuple(dict.fromkeys([*points[::stride], points[-1]]))


def _dataset(benchmark: BenchmarkEntry) -> DatasetPlan:
    source = {"tasks": benchmark.tasks, "num_fewshot": benchmark.num_fewshot, "limit": benchmark.limit}
    return DatasetPlan(
        name=benchmark.name,
        digest=benchmark.fingerprint[:36] or "unknown",
        source=compact({**source, "capability": benchmark.capability}),
        profile=compact({"num_rows": benchmark.items, "executed": benchmark.executed}),
    )


def _tables(benchmarks: Sequence[BenchmarkEntry], run_dir: Path, model: str) -> dict[str, str]:
    paths = {b.name: items_path(run_dir, b.name, model) for b in benchmarks}
    return {
        f"samples/{clean(name)}.json": item_table(read_items(path))
        for name, path in paths.items()
        if path.exists()
    }


def item_table(items: Sequence[Item]) -> str:
    """JSON as written by `mlflow.log_table`; item first and prediction second, as the UI pairs them.

    Items are ordered by task and hash, so that the tables of all models show the same items.
    """
    shown = sorted(items, key=lambda item: (item.task, item.item))[:TABLE_ROWS]
    metrics = sorted({metric for item in shown for metric in item.scores})
    columns = ["item", "prediction", *metrics, "gold", "prompt", "task", "bits_per_byte"]
    return compact({"columns": columns, "data": [_cells(item, metrics) for item in shown]})


def _cells(item: Item, metrics: Sequence[str]) -> list[Any]:
    """One row. Long prompts lose their beginning: the question is at the end, after few-shot examples."""
    scores = [_number(item.scores.get(metric)) for metric in metrics]
    prompt = item.prompt if len(item.prompt) <= TEXT_SHOWN else "…" + item.prompt[-TEXT_SHOWN:]
    texts = [_head(item.gold), prompt, item.task]
    return [item.item, _head(item.prediction), *scores, *texts, _number(item.bits_per_byte)]


def _head(text: str) -> str:
    return text if len(text) <= TEXT_SHOWN else text[:TEXT_SHOWN] + "…"


def _number(value: float | None) -> float | None:
    """NaN and infinity, which JSON does not have, become empty cells."""
    return round(value, 4) if value is not None and isfinite(value) else None


def _logged(paths: Sequence[str]) -> str:
    """The tag that lists the tables MLflow can compare; as many as fit into it."""
    entries: list[dict[str, str]] = []
    for path in paths:
        entry = {"path": path, "type": "table"}
        if len(compact([*entries, entry])) > LARGEST_TAG:
            break
        entries.append(entry)
    return compact(entries)
