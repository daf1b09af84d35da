"""A baseline: what a run's fused model, its control and the target before training answered, item by item.

Compact JSON, version 1: suite, run, created, versions, models (role -> name, fingerprint) and, per benchmark,
capability, fingerprint, metrics, items (hashes, sorted), scores (role -> metric -> percent) and outcomes
(role -> metric -> one number per item, in the items' order).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.atomic import write_text_atomically
from harness.errors import InputError
from harness.items import items_path, metrics_of, read_items
from harness.results import BenchmarkEntry, Item, Role, RunRecord

BASELINE_VERSION = 1
KEPT_ROLES = (Role.TARGET, Role.CONTROL, Role.FUSED)


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
        baseline: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = baseline["version"]
    except FileNotFoundError as error:
        raise InputError(
            f"no baseline at {path}", remedy=f"make one: fusegauge baseline save RUN --to {path}"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a baseline: {error}", remedy="save it again: fusegauge baseline save RUN"
        ) from error
    if version != BASELINE_VERSION:
        raise InputError(
            f"{path} has baseline version {version}, this program reads {BASELINE_VERSION}",
            remedy="save it again with this program: fusegauge baseline save RUN",
        )
    return baseline


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
