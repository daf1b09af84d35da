"""Baselines: the scores of fused, control and target before training, item by item, saved as JSON.

Compact JSON, version 2: suite, run, created, versions, models (role -> name, fingerprint), settings (dotted
key -> value, see `fixed_settings`) and, per benchmark, capability, fingerprint, metrics, items (hashes,
sorted), scores (role -> metric -> percent) and outcomes (role -> metric -> one number per item, in the items'
order). A benchmark that could not be scored has its items and no metrics.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from harness.core.exceptions import IncompleteError, InputError
from harness.core.files import write_text_atomically
from harness.core.record import BenchmarkEntry, Item, Record, Role, RunRecord, metrics_of
from harness.core.run_files import items_path, read_items
from harness.regression.fixed_settings import fixed_settings

BASELINE_VERSION = 2
KEPT_ROLES = (Role.TARGET, Role.CONTROL, Role.FUSED)


class BenchmarkOutcomes(Record):
    """One benchmark in a baseline."""

    capability: str
    fingerprint: str
    metrics: tuple[str, ...]  # the headline metric first
    items: tuple[str, ...]
    scores: dict[Role, dict[str, float]]
    outcomes: dict[Role, dict[str, tuple[float, ...]]]


class Baseline(Record):
    """A baseline file."""

    version: int
    suite: str
    run: str
    created: str
    versions: dict[str, str]
    models: dict[Role, dict[str, str]]
    settings: dict[str, Any]
    benchmarks: dict[str, BenchmarkOutcomes]


def save_baseline(record: RunRecord, run_dir: Path, path: Path) -> None:
    """Write scores, fingerprints and every item's outcome of target, control and fused as compact JSON.

    Raises IncompleteError where items are missing that the run's record counts.
    """
    kept = {m.role: m for m in record.models if m.role in KEPT_ROLES}
    baseline = Baseline(
        version=BASELINE_VERSION,
        suite=record.suite.get("name", ""),
        run=record.run,
        created=record.created.isoformat(),
        versions=record.versions,
        models={role: {"name": m.name, "fingerprint": m.fingerprint} for role, m in kept.items()},
        settings=fixed_settings(record),
        benchmarks={b.name: benchmark_outcomes(record, run_dir, b) for b in record.benchmarks},
    )
    content = baseline.model_dump(mode="json")
    write_text_atomically(path, json.dumps(content, separators=(",", ":"), ensure_ascii=False) + "\n")


def read_baseline(path: Path) -> Baseline:
    """Read a baseline file. Raises InputError where it is missing, damaged or of another version."""
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"no baseline at {path}", remedy=f"make one: fusegauge baseline save RUN --to {path}"
        ) from error
    except OSError as error:
        raise InputError(
            f"cannot read the baseline {path}: {error.strerror}", remedy="name a readable file"
        ) from error
    except ValueError as error:  # neither JSON nor UTF-8
        raise _no_baseline(path, str(error)) from error
    if not isinstance(raw, dict) or "version" not in raw:
        raise _no_baseline(path, "it has no key `version`")
    if raw["version"] != BASELINE_VERSION:
        raise InputError(
            f"{path} has baseline version {raw['version']}, this program reads {BASELINE_VERSION}",
            remedy=f"save it again with this program: fusegauge baseline save RUN --to {path}",
        )
    return _validated(path, raw)


def _validated(path: Path, raw: dict[str, Any]) -> Baseline:
    try:
        baseline = Baseline.model_validate(raw)
    except ValidationError as error:
        details = error.errors(include_url=False)[:3]
        what = (f"{'.'.join(map(str, detail['loc']))}: {detail['msg'].lower()}" for detail in details)
        raise _no_baseline(path, "; ".join(what)) from error
    if gaps := list(_gaps(baseline)):
        raise _no_baseline(path, "; ".join(gaps[:3]))
    return baseline


def _no_baseline(path: Path, why: str) -> InputError:
    return InputError(
        f"{path} is not a baseline: {why}", remedy=f"save it again: fusegauge baseline save RUN --to {path}"
    )


def _gaps(baseline: Baseline) -> Iterator[str]:
    """Mismatches between the outcomes and the models, metrics and items."""
    for name, benchmark in baseline.benchmarks.items():
        for role in baseline.models:
            yield from (f"benchmarks.{name}: {gap}" for gap in _role_gaps(benchmark, role))


def _role_gaps(benchmark: BenchmarkOutcomes, role: Role) -> Iterator[str]:
    if role not in benchmark.outcomes:
        yield f"no outcomes of {role}"
        return
    for metric in benchmark.metrics:
        values = benchmark.outcomes[role].get(metric)
        if values is None:
            yield f"{role} has no outcomes of {metric}"
        elif len(values) != len(benchmark.items):
            yield f"{role} has {len(values)} outcomes of {metric} for {len(benchmark.items)} items"


def benchmark_outcomes(record: RunRecord, run_dir: Path, entry: BenchmarkEntry) -> BenchmarkOutcomes:
    """One benchmark, outcomes ordered by item hash. Raises IncompleteError where items are missing."""
    models = {m.role: m.name for m in record.models if m.role in KEPT_ROLES}
    items = {role: _whole(run_dir, entry, name) for role, name in models.items()}
    first = next(iter(items.values()), [])
    metrics = [m for m in entry.metrics if m in metrics_of(first)]
    outcomes = {
        role: {metric: _scores(entry, models[role], each, metric) for metric in metrics}
        for role, each in items.items()
    }
    scores = {r: {m: round(100 * float(np.mean(v)), 4) for m, v in o.items()} for r, o in outcomes.items()}
    return BenchmarkOutcomes(
        capability=entry.capability,
        fingerprint=entry.fingerprint,
        metrics=tuple(metrics),
        items=tuple(item.item for item in first),
        scores=scores,
        outcomes=outcomes,
    )


def _whole(run_dir: Path, entry: BenchmarkEntry, model: str) -> list[Item]:
    """A model's items, sorted. Raises IncompleteError unless there are as many as the record counts."""
    path = items_path(run_dir, entry.name, model)
    found = read_items(path) if path.is_file() else []
    if len(found) != entry.items:
        raise _incomplete(f"{entry.name}: {model} has {len(found)} of {entry.items} items")
    return sorted(found, key=lambda i: i.item)


def _scores(entry: BenchmarkEntry, model: str, items: Sequence[Item], metric: str) -> tuple[float, ...]:
    lacking = sum(metric not in item.scores for item in items)
    if lacking:
        raise _incomplete(f"{entry.name}: {lacking} of {len(items)} items of {model} have no {metric}")
    return tuple(item.scores[metric] for item in items)


def _incomplete(what: str) -> IncompleteError:
    return IncompleteError(what, remedy="finish the run: fusegauge run-suite continues where it stopped")
