"""A baseline: what a run's fused model, its control and the target before training answered, item by item.

Compact JSON, version 1: suite, run, created, versions, models (role -> name, fingerprint) and, per benchmark,
capability, fingerprint, metrics, items (hashes, sorted), scores (role -> metric -> percent) and outcomes
(role -> metric -> one number per item, in the items' order).
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from harness.atomic import write_text_atomically
from harness.errors import InputError
from harness.items import items_path, metrics_of, read_items
from harness.results import BenchmarkEntry, Item, Record, Role, RunRecord

BASELINE_VERSION = 1
KEPT_ROLES = (Role.TARGET, Role.CONTROL, Role.FUSED)


class _Benchmark(Record):
    """What a check needs of a benchmark in a baseline."""

    fingerprint: str
    metrics: tuple[str, ...]
    items: tuple[str, ...]
    outcomes: dict[Role, dict[str, tuple[float, ...]]]


class _Baseline(Record):
    """What a check needs of a baseline."""

    suite: str
    models: dict[Role, dict[str, str]]
    benchmarks: dict[str, _Benchmark]


def save_baseline(record: RunRecord, run_dir: Path, path: Path) -> None:
    """Write scores, fingerprints and every item's outcome of target, control and fused as compact JSON."""
    baseline = {
        "version": BASELINE_VERSION,
        "suite": record.suite.get("name", ""),
        "run": record.run,
        "created": record.created.isoformat(),
        "versions": record.versions,
        "models": {
            m.role: {"name": m.name, "fingerprint": m.fingerprint}
            for m in record.models
            if m.role in KEPT_ROLES
        },
        "benchmarks": {b.name: benchmark_outcomes(record, run_dir, b) for b in record.benchmarks},
    }
    write_text_atomically(path, json.dumps(baseline, separators=(",", ":"), ensure_ascii=False) + "\n")


def read_baseline(path: Path) -> dict[str, Any]:
    """A baseline as saved. Raises InputError where it is missing, damaged or of another version."""
    try:
        baseline: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"no baseline at {path}", remedy=f"make one: fusegauge baseline save RUN --to {path}"
        ) from error
    except OSError as error:
        raise InputError(
            f"cannot read the baseline {path}: {error.strerror}", remedy="name a file that can be read"
        ) from error
    except ValueError as error:  # neither JSON nor UTF-8
        raise _no_baseline(path, str(error)) from error
    if not isinstance(baseline, dict) or "version" not in baseline:
        raise _no_baseline(path, "it holds no version")
    version = baseline["version"]
    if version != BASELINE_VERSION:
        raise InputError(
            f"{path} has baseline version {version}, this program reads {BASELINE_VERSION}",
            remedy="save it again with this program: fusegauge baseline save RUN",
        )
    if mistakes := list(_mistakes(baseline)):
        raise _no_baseline(path, "; ".join(mistakes[:3]))
    return baseline


def _no_baseline(path: Path, why: str) -> InputError:
    return InputError(
        f"{path} is not a baseline: {why}", remedy=f"save it again: fusegauge baseline save RUN --to {path}"
    )


def _mistakes(raw: dict[str, Any]) -> Iterator[str]:
    """What keeps a check from reading it: shapes, then outcomes that do not fit models, metrics and items."""
    try:
        baseline = _Baseline.model_validate(raw)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            yield f"{'.'.join(map(str, detail['loc']))}: {detail['msg'].lower()}"
        return
    for name, benchmark in baseline.benchmarks.items():
        for role in baseline.models:
            yield from (f"benchmarks.{name}: {gap}" for gap in _gaps(benchmark, role))


def _gaps(benchmark: _Benchmark, role: Role) -> Iterator[str]:
    if role not in benchmark.outcomes:
        yield f"no outcomes of {role}"
        return
    for metric in benchmark.metrics:
        values = benchmark.outcomes[role].get(metric)
        if values is None:
            yield f"{role} has no outcomes of {metric}"
        elif len(values) != len(benchmark.items):
            yield f"{role} has {len(values)} outcomes of {metric} for {len(benchmark.items)} items"


def benchmark_outcomes(record: RunRecord, run_dir: Path, entry: BenchmarkEntry) -> dict[str, Any]:
    """One benchmark as a baseline keeps it: outcomes in the order of sorted item hashes."""
    models = {m.role: m.name for m in record.models if m.role in KEPT_ROLES}
    items = {
        role: _sorted(read_items(items_path(run_dir, entry.name, name))) for role, name in models.items()
    }
    first = next(iter(items.values()), [])
    metrics = [m for m in entry.metrics if m in metrics_of(first)]
    outcomes = {
        role: {metric: [item.scores[metric] for item in each] for metric in metrics}
        for role, each in items.items()
    }
    scores = {r: {m: round(100 * float(np.mean(v)), 4) for m, v in o.items()} for r, o in outcomes.items()}
    return {
        "capability": entry.capability,
        "fingerprint": entry.fingerprint,
        "metrics": metrics,
        "items": [item.item for item in first],
        "scores": scores,
        "outcomes": outcomes,
    }


def _sorted(items: Sequence[Item]) -> list[Item]:
    return sorted(items, key=lambda i: i.item)
