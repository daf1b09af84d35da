"""Sync of a run to MLflow (six models with sixty metrics each), against one call per number."""

import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import Bar, Row, alternate
from harness.core.record import AVERAGE, Cell, Comparison, Difference, ModelEntry, Role, RunRecord, Verdict
from harness.core.record import Row as Scores
from harness.suite.spec import TrackingSpec
from harness.tracking import sync_run

ROLES = (Role.TARGET, Role.SOURCE, Role.SOURCE, Role.SOURCE, Role.CONTROL, Role.FUSED)
METRICS = 60
CAPABILITIES = 3
MOST_SECONDS = 30.0  # longer, and a user thinks that it hangs
SPEC = TrackingSpec(experiment="benchmark")


def cases(quick: bool, models: Sequence[Path]) -> Iterator[Row]:  # noqa: ARG001 - as all rooms have it
    """One row: sync of a new run (runs, scores, view), then of the same run unchanged."""
    metrics = 6 if quick else METRICS
    with tempfile.TemporaryDirectory() as name:
        yield _row(Path(name), metrics, rounds=1 if quick else 3)


def _row(folder: Path, metrics: int, rounds: int) -> Row:
    numbers = itertools.count()

    def sync() -> float:
        started = time.perf_counter()
        _sync_new(folder, metrics, next(numbers))
        return time.perf_counter() - started

    ours, reference = alternate(sync, lambda: _one_by_one(folder, metrics), rounds=rounds)
    started = time.perf_counter()
    _sync(folder, "run-0")
    again = time.perf_counter() - started
    return Row(
        case=f"sync {len(ROLES)} models x {metrics} metrics",
        ours="one batch per model, parent, links, view",
        reference="one log_metric call per number, nothing else",
        seconds=ours.seconds,
        reference_seconds=reference.seconds,
        bars=(Bar("wall seconds of a sync", "at most", MOST_SECONDS, ours.result),) if rounds > 1 else (),
        counted={"wall s": ours.result, "wall s unchanged": again},
    )


def _sync_new(folder: Path, metrics: int, number: int) -> None:
    run = folder / "runs" / f"run-{number}"
    run.mkdir(parents=True)
    (run / "run.json").write_text(_record(run.name, metrics).model_dump_json(), encoding="utf-8")
    _sync(folder, run.name)


def _sync(folder: Path, run: str) -> None:
    sync_run(folder / "runs" / run, SPEC, results=folder)


def _one_by_one(folder: Path, metrics: int) -> None:
    from harness.tracking.writing import open_client, open_experiment

    client: Any = open_client(f"sqlite:///{folder}/mlflow.db")
    experiment = open_experiment(client, "one by one", folder / "artifacts")
    for _ in ROLES:
        run = client.create_run(experiment).info.run_id
        for metric in range(metrics):
            client.log_metric(run, f"capability/{metric}", 1.0 * metric)
        client.set_terminated(run)


def _record(run: str, metrics: int) -> RunRecord:
    """A run record with scores only, as a run of many benchmarks has, but without items."""
    names = [f"model-{i}" for i in range(len(ROLES))]
    suite = {"name": "benchmark", "fusion": {}, "training": {}}
    return RunRecord(
        run=run,
        suite=suite,
        overrides=(),
        created=datetime(2026, 1, 1, tzinfo=UTC),
        seed=0,
        versions={},
        hardware={},
        models=tuple(
            ModelEntry(name=n, role=r, reference=n, fingerprint="0" * 64, parameters=1)
            for n, r in zip(names, ROLES, strict=True)
        ),
        benchmarks=(),
        stages=(),
        training=(),
        coverage={},
        attribution={},
        comparison=Comparison(
            rows=tuple(_scores(i, names) for i in range(metrics + CAPABILITIES)),
            confidence=0.95,
            verdict=Verdict(outcome="none", sentence="Nothing was judged."),
        ),
    )


def _scores(number: int, names: Sequence[str]) -> Scores:
    """The capabilities' averages, then the benchmarks."""
    cells = [
        Cell(model=n, role=r, value=float(number + i), n=100)
        for i, (n, r) in enumerate(zip(names, ROLES, strict=True))
    ]
    return Scores(
        capability=f"capability-{number % CAPABILITIES}",
        benchmark=AVERAGE if number < CAPABILITIES else f"benchmark-{number}",
        metric="acc",
        unit="%",
        higher_is_better=True,
        headline=True,
        cells=tuple(cells),
        differences=tuple(_difference(cell, cells[-1]) for cell in cells[:-1]),
    )


def _difference(cell: Cell, fused: Cell) -> Difference:
    change = fused.value - cell.value
    return Difference(
        opponent=cell.model,
        role=cell.role,
        difference=change,
        low=change - 1,
        high=change + 1,
        p_value=0.5,
        better=50,
        worse=40,
        n=100,
    )
