"""A model of a run as an MLflow run: its scores, its training, its answers."""

from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from harness.core.record import BenchmarkEntry, Item, ModelEntry, Role, RunRecord, TrainingCurve
from harness.core.run_files import items_path, read_items
from harness.tracking.metric_names import clean, metric_key
from harness.tracking.run_plan import COMPARISON, ROLE, DatasetPlan, Point, RunPlan, compact, digest, flat
from harness.tracking.scores import KeyedRow, scores_of

TABLE_ROWS = 2000  # of one benchmark: six models' tables of this length open in a few seconds
TEXT_SHOWN = 800  # characters of a prompt or an answer; whole texts stay in items/*.parquet
POINTS = 1000  # of one training curve
LARGEST_TAG = 7500  # MLflow cuts a tag at 8000 characters without a word

# Okabe and Ito's palette, distinct for colour-blind readers; sources share what the three roles leave.
ROLE_COLOURS = {Role.FUSED: "#D55E00", Role.TARGET: "#0072B2", Role.CONTROL: "#56B4E9"}
SOURCE_COLOURS = ("#009E73", "#CC79A7", "#E69F00", "#F0E442", "#999999", "#000000")


def model_plans(record: RunRecord, run_dir: Path, rows: Sequence[KeyedRow]) -> Iterator[RunPlan]:
    """One plan per model, made one at a time: a plan holds its model's tables in memory."""
    colours = colours_of(record.models)
    for position, model in enumerate(record.models):
        yield _model_plan(record, run_dir, rows, model, position, colours[model.name])


def colours_of(models: Sequence[ModelEntry]) -> dict[str, str]:
    """Role to colour; sources in their order, so a colour means the same model in every view of a run."""
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
    """Milliseconds; the one time stamp that everything of a run is logged at."""
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
    """The method's parameters where it was applied; the control is lambda 1 by definition."""
    if role == Role.CONTROL:
        return {"lambda": "1"}
    if role != Role.FUSED:
        return {}
    rest = {key: value for key, value in fusion.items() if key != "lm_loss_weight"}
    weight = {"lambda": compact(fusion["lm_loss_weight"])} if "lm_loss_weight" in fusion else {}
    return weight | {key.removeprefix("fusion."): value for key, value in flat("fusion", rest).items()}


def _series(curve: TrainingCurve) -> dict[str, tuple[Point, ...]]:
    """What the Trainer logged, per key; non-numbers left out, long curves thinned evenly."""
    found: dict[str, dict[int, float]] = {}
    for index, point in enumerate(curve.points):
        step = int(point.get("step", index))
        for key, value in point.items():
            if key != "step" and isinstance(value, int | float) and isfinite(value):
                found.setdefault(metric_key("training", key), {})[step] = float(value)
    return {key: _thin(tuple(sorted(steps.items()))) for key, steps in found.items()}


def curve_keys(curves: Sequence[TrainingCurve]) -> list[str]:
    """Metrics that are lines (more than one step), losses first and the training loss before all."""
    series: dict[str, tuple[Point, ...]] = {}
    for curve in curves:
        series |= {key: points for key, points in _series(curve).items() if len(points) > 1}
    return sorted(series, key=lambda key: (key != "training/loss", "loss" not in key, key))


def _thin(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """At most POINTS + 1 of them, the last one kept: it is the value that tables show."""
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
    """JSON as `mlflow.log_table` writes it; the item first and the prediction second, as the page pairs them.

    Items are in the order of task and hash, so models with the same items show the same ones.
    """
    shown = sorted(items, key=lambda item: (item.task, item.item))[:TABLE_ROWS]
    metrics = sorted({metric for item in shown for metric in item.scores})
    columns = ["item", "prediction", *metrics, "gold", "prompt", "task", "bits_per_byte"]
    return compact({"columns": columns, "data": [_cells(item, metrics) for item in shown]})


def _cells(item: Item, metrics: Sequence[str]) -> list[Any]:
    """A prompt is cut at its head: the question stands at its end, behind the few-shot examples."""
    scores = [_number(item.scores.get(metric)) for metric in metrics]
    prompt = item.prompt if len(item.prompt) <= TEXT_SHOWN else "…" + item.prompt[-TEXT_SHOWN:]
    texts = [_head(item.gold), prompt, item.task]
    return [item.item, _head(item.prediction), *scores, *texts, _number(item.bits_per_byte)]


def _head(text: str) -> str:
    return text if len(text) <= TEXT_SHOWN else text[:TEXT_SHOWN] + "…"


def _number(value: float | None) -> float | None:
    """NaN and infinity are no JSON; they become empty cells."""
    return round(value, 4) if value is not None and isfinite(value) else None


def _logged(paths: Sequence[str]) -> str:
    """The tag by which MLflow offers tables for comparison; as many as it can hold."""
    entries: list[dict[str, str]] = []
    for path in paths:
        entry = {"path": path, "type": "table"}
        if len(compact([*entries, entry])) > LARGEST_TAG:
            break
        entries.append(entry)
    return compact(entries)
