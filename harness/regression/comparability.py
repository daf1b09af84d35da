"""Whether a run may be compared with a baseline; all reasons against it are collected before raising.

Incomplete: outcomes of the baseline are missing in the run, because items are missing, code was not executed
or a toolchain was missing. Not comparable: another suite, task, item or setting.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.core.exceptions import IncompleteError, NotComparableError
from harness.core.record import BenchmarkEntry, Role, RunRecord
from harness.regression.baseline import Baseline, BenchmarkOutcomes, benchmark_outcomes
from harness.regression.fixed_settings import differing, fixed_settings, free_keys, mistakes

OutcomesByBenchmark = Mapping[str, BenchmarkOutcomes]


def require_comparable(
    record: RunRecord, run_dir: Path, baseline: Baseline, path: Path, vary: Sequence[str]
) -> tuple[OutcomesByBenchmark, tuple[str, ...]]:
    """The run's outcomes of the baseline's benchmarks, and the settings that differ as `vary` allows.

    Raises IncompleteError and NotComparableError, both with all reasons, and InputError for a name in `vary`
    that is not a setting.
    """
    settings = fixed_settings(record)
    free = free_keys(vary, list(settings | baseline.settings))
    differences = differing(settings, baseline.settings)
    entries = {b.name: b for b in record.benchmarks}
    now = _outcomes(record, run_dir, [entries[name] for name in baseline.benchmarks if name in entries])
    _require_complete(baseline, now, entries)
    found = [*_of_suite(record, baseline), *mistakes(differences, free)]
    found += [m for name, then in baseline.benchmarks.items() for m in _of_benchmark(name, then, now)]
    if found:
        raise _not_comparable(path, found)
    return now, tuple(f"{key} {what}" for key, what in differences.items())


def _outcomes(record: RunRecord, run_dir: Path, entries: Sequence[BenchmarkEntry]) -> OutcomesByBenchmark:
    found, lacking = {}, []
    for entry in entries:
        try:
            found[entry.name] = benchmark_outcomes(record, run_dir, entry)
        except IncompleteError as error:
            lacking.append(error.message)
    if lacking:
        raise _incomplete(lacking)
    return found


def _require_complete(
    baseline: Baseline, now: OutcomesByBenchmark, entries: Mapping[str, BenchmarkEntry]
) -> None:
    """Raise IncompleteError unless every metric of the baseline was scored in this run too."""
    lacking = [
        f"{name}: the baseline has {listed_metrics(then)}, this run has no scores"
        + (f" (programs: {entries[name].executed})" if entries[name].executed else "")
        for name, then in baseline.benchmarks.items()
        if name in now and then.metrics and not now[name].metrics
    ]
    if lacking:
        raise _incomplete(lacking)


def listed_metrics(outcomes: BenchmarkOutcomes) -> str:
    return ", ".join(outcomes.metrics)


def _incomplete(lacking: Sequence[str]) -> IncompleteError:
    return IncompleteError(
        "the run is incomplete:" + _as_list(lacking),
        remedy="finish it with `fusegauge run-suite` where `fusegauge doctor` reports nothing missing",
    )


def _of_suite(record: RunRecord, baseline: Baseline) -> Iterator[str]:
    if baseline.suite != record.suite.get("name", ""):
        yield f"suite is {record.suite.get('name')!r} in this run, {baseline.suite!r} in the baseline"
    if Role.FUSED not in {m.role for m in record.models}:
        yield "the run has no fused model"
    if Role.FUSED not in baseline.models:
        yield "the baseline has no fused model"


def _of_benchmark(name: str, then: BenchmarkOutcomes, all_now: OutcomesByBenchmark) -> Iterator[str]:
    now = all_now.get(name)
    if now is None:
        yield f"{name} was not scored in this run"
        return
    if now.capability != then.capability:
        yield f"{name}: capability is {now.capability} in this run, {then.capability} in the baseline"
    if now.fingerprint != then.fingerprint:
        prints = f"fingerprint {now.fingerprint[:12]} in this run, {then.fingerprint[:12]} in the baseline"
        yield f"{name}: task, data, few-shot or seed differ ({prints})"
    elif now.items != then.items:
        ours, theirs = set(now.items), set(then.items)
        yield (
            f"{name}: {len(ours - theirs)} items are only in this run, "
            f"{len(theirs - ours)} only in the baseline"
        )
    if then.metrics and then.metrics[0] not in now.metrics:
        yield f"{name}: metric {then.metrics[0]} was not scored in this run"


def _not_comparable(path: Path, found: Sequence[str]) -> NotComparableError:
    return NotComparableError(
        f"the run is not comparable with {path}:{_as_list(found)}",
        remedy="run the suite with the baseline's settings; or name what differs on purpose with --vary; or "
        f"save a new baseline: fusegauge baseline save RUN --to {path}",
    )


def _as_list(lines: Sequence[str]) -> str:
    return "".join(f"\n  - {line}" for line in lines)
