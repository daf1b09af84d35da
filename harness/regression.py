"""The regression check: is the fused model worse than a saved baseline's, on the same items?

A benchmark's headline metric has regressed where
- fell: fused surely scores worse than the baseline's fused, by more than the tolerance;
- lost its lead: its lead over its own control has surely shrunk by more than the tolerance, and it was surely
  better than the control in the baseline and is not any more;
- harm: that lead has surely shrunk so, and fused is surely worse than its own control, as it was not before.
A lead shrinks where (fused - control) now minus then is negative, tested by sign flips: a lead that merely
crosses the line of significance, because it was close to it, is no regression.
Worse is lower, except for the metrics where lower is better (`comparison.higher_is_better`).
"Surely" is p < 1 - confidence after Holm over the benchmarks, for each of these questions on its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from harness.baseline import benchmark_outcomes, read_baseline, save_baseline
from harness.comparison import higher_is_better, is_share
from harness.errors import NotComparableError
from harness.formats import Unit, listed, number, p_value, plural, signed
from harness.results import Record, Role, RunRecord
from harness.statistics import Floats, holm, mcnemar_exact, paired_permutation

__all__ = ["RegressionRow", "RegressionVerdict", "check", "save_baseline"]

RESAMPLES = 10_000

Cause = Literal["fell", "lost its lead over the control", "worse than its own control"]


class RegressionRow(Record):
    """One benchmark's headline metric, in its unit (percent, if it is a share); differences are now minus
    baseline."""

    benchmark: str
    metric: str
    baseline: float
    now: float
    difference: float
    p_adjusted: float  # of the difference, after Holm over the benchmarks
    lead_baseline: float | None  # fused minus control, in the baseline
    lead_now: float | None
    n: int
    causes: tuple[Cause, ...]  # empty: held
    unit: Unit = "%"
    higher_is_better: bool = True

    @property
    def gain(self) -> float:
        """The difference, positive where it is for the better."""
        return self.difference if self.higher_is_better else -self.difference


class RegressionVerdict(Record):
    """What `check` found: 0 held, 1 regressed."""

    exit_code: Literal[0, 1]
    sentence: str
    rows: tuple[RegressionRow, ...]

    def text(self) -> str:
        """The sentence, then one line per benchmark."""
        return "\n".join([self.sentence, *(_line(row) for row in self.rows)])


@dataclass(frozen=True)
class _Paired:
    """One benchmark: scores per item [n] in its unit, now and in the baseline, in the same order."""

    benchmark: str
    metric: str
    fused_now: Floats
    fused_then: Floats
    lead_now: Floats | None  # fused minus control
    lead_then: Floats | None
    unit: Unit

    def good(self, difference: Floats | None) -> Floats | None:
        """The difference, positive where it is for the better."""
        return difference if difference is None or higher_is_better(self.metric) else -difference


def check(record: RunRecord, run_dir: Path, baseline_path: Path, tolerance: float) -> RegressionVerdict:
    """Compare the run's fused model with the baseline's; `tolerance` in percentage points.

    Raises NotComparableError where suite, benchmarks, fingerprints or items differ, naming what does, and
    InputError where the baseline is missing or unreadable.
    """
    baseline = read_baseline(baseline_path)
    _require_comparable(record, baseline, baseline_path)
    by_name = {b.name: b for b in record.benchmarks}
    pairs = [
        _pair(name, then, benchmark_outcomes(record, run_dir, by_name[name]), baseline_path)
        for name, then in baseline["benchmarks"].items()
        if then["metrics"]
    ]
    alpha = 1 - record.comparison.confidence
    rows = _rows(pairs, tolerance, alpha)
    new = [b for b in by_name if b not in baseline["benchmarks"]]
    sentence = _sentence(rows, tolerance, new, alpha)
    return RegressionVerdict(exit_code=1 if any(r.causes for r in rows) else 0, sentence=sentence, rows=rows)


def _require_comparable(record: RunRecord, baseline: Mapping[str, Any], path: Path) -> None:
    now = {b.name: b for b in record.benchmarks}
    mistakes = []
    if baseline["suite"] != record.suite.get("name", ""):
        mistakes.append(f"suite is {record.suite.get('name')!r} now, {baseline['suite']!r} there")
    if Role.FUSED not in {m.role for m in record.models}:
        mistakes.append("the run has no fused model")
    if Role.FUSED not in baseline["models"]:
        mistakes.append("the baseline has no fused model")
    for name, then in baseline["benchmarks"].items():
        if name not in now:
            mistakes.append(f"{name} was not scored in this run")
        elif now[name].fingerprint != then["fingerprint"]:
            mistakes.append(
                f"{name}: task, data, few-shot or seed differ (fingerprint {now[name].fingerprint[:12]} now, "
                f"{then['fingerprint'][:12]} there)"
            )
    if mistakes:
        raise _not_comparable(path, mistakes)


def _not_comparable(path: Path, mistakes: Sequence[str]) -> NotComparableError:
    lines = "".join(f"\n  - {m}" for m in mistakes)
    return NotComparableError(
        f"not comparable with {path}:{lines}",
        remedy="run the same suite without overrides, or save a new baseline: fusegauge baseline save RUN",
    )


def _pair(name: str, then: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> _Paired:
    if then["items"] != now["items"]:
        ours, theirs = set(now["items"]), set(then["items"])
        counts = f"{len(ours - theirs)} items are only in this run, {len(theirs - ours)} only in the baseline"
        raise _not_comparable(path, [f"{name}: {counts}"])
    metric = then["metrics"][0]
    if metric not in now["metrics"]:
        raise _not_comparable(path, [f"{name}: metric {metric} was not scored in this run"])
    sides = (now, then)
    share = is_share(_scores(s, role, metric) for s in sides for role in s["outcomes"])
    scale = 100.0 if share else 1.0
    fused_now, fused_then = (scale * _scores(s, Role.FUSED, metric) for s in sides)
    lead_now, lead_then = (_lead(s, metric, scale) for s in sides)
    return _Paired(name, metric, fused_now, fused_then, lead_now, lead_then, "%" if share else "score")


def _scores(side: Mapping[str, Any], role: Role, metric: str) -> Floats:
    return np.asarray(side["outcomes"][role][metric], dtype=np.float64)


def _lead(side: Mapping[str, Any], metric: str, scale: float) -> Floats | None:
    if Role.CONTROL not in side["outcomes"]:
        return None
    return scale * (_scores(side, Role.FUSED, metric) - _scores(side, Role.CONTROL, metric))


def _rows(pairs: Sequence[_Paired], tolerance: float, alpha: float) -> tuple[RegressionRow, ...]:
    changes = _test([p.good(p.fused_now - p.fused_then) for p in pairs])
    leads_now, leads_then = (
        _test([p.good(lead) for p, lead in zip(pairs, leads, strict=True)])
        for leads in ([p.lead_now for p in pairs], [p.lead_then for p in pairs])
    )
    shrunk = _test([p.good(_minus(p.lead_now, p.lead_then)) for p in pairs])
    rows = []
    for pair, change, now, then, shrink in zip(pairs, changes, leads_now, leads_then, shrunk, strict=True):
        causes: list[Cause] = []
        if change.below(-tolerance, alpha):
            causes.append("fell")
        shrank = shrink.below(-tolerance, alpha)
        if shrank and then.above(0, alpha) and not now.above(0, alpha):
            causes.append("lost its lead over the control")
        if shrank and now.below(0, alpha) and not then.below(0, alpha):
            causes.append("worse than its own control")
        rows.append(_row(pair, change.p, tuple(causes)))
    return tuple(rows)


@dataclass(frozen=True)
class _Tested:
    """A mean difference [points] and its p-value after Holm; None where there is nothing to compare."""

    mean: float | None
    p: float

    def below(self, bound: float, alpha: float) -> bool:
        return self.mean is not None and self.mean < min(bound, 0) and self.p < alpha

    def above(self, bound: float, alpha: float) -> bool:
        return self.mean is not None and self.mean > bound and self.p < alpha


def _test(differences: Sequence[Floats | None]) -> list[_Tested]:
    """Test every benchmark's paired differences, corrected over those that exist."""
    existing = [d for d in differences if d is not None]
    adjusted = iter(holm([_p_value(d) for d in existing]))
    return [
        _Tested(None, 1.0) if d is None else _Tested(float(d.mean()), next(adjusted)) for d in differences
    ]


def _p_value(d: Floats) -> float:
    if set(np.unique(np.abs(d))) <= {0.0, 100.0}:  # right or wrong on both sides
        return mcnemar_exact(int(np.sum(d > 0)), int(np.sum(d < 0)))
    return paired_permutation(d, RESAMPLES, np.random.default_rng(0))


def _minus(now: Floats | None, then: Floats | None) -> Floats | None:
    return None if now is None or then is None else now - then


def _row(pair: _Paired, p_adjusted: float, causes: tuple[Cause, ...]) -> RegressionRow:
    return RegressionRow(
        benchmark=pair.benchmark,
        metric=pair.metric,
        baseline=float(pair.fused_then.mean()),
        now=float(pair.fused_now.mean()),
        difference=float((pair.fused_now - pair.fused_then).mean()),
        p_adjusted=p_adjusted,
        lead_baseline=_mean(pair.lead_then),
        lead_now=_mean(pair.lead_now),
        n=len(pair.fused_now),
        causes=causes,
        unit=pair.unit,
        higher_is_better=higher_is_better(pair.metric),
    )


def _mean(values: Floats | None) -> float | None:
    return None if values is None else float(values.mean())


def _sentence(rows: Sequence[RegressionRow], tolerance: float, new: Sequence[str], alpha: float) -> str:
    beyond = f" (tolerance {number(tolerance)} points)" if tolerance else ""
    bad = [
        f"{r.benchmark} {' and '.join(r.causes)} ({_points(r.difference, r.unit)})" for r in rows if r.causes
    ]
    extra = f" Not in the baseline: {listed(list(new))}." if new else ""
    if bad:
        return f"Regressed{beyond}: {'; '.join(bad)}.{extra}"
    better = [r.benchmark for r in rows if r.gain > 0 and r.p_adjusted < alpha]
    improved = f" {listed(better)} improved: save a new baseline to keep it." if better else ""
    held = f"Held{beyond}: {plural(len(rows), 'benchmark')}, none surely worse than the baseline."
    return held + improved + extra


def _points(difference: float, unit: Unit) -> str:
    return signed(difference, unit) + " points" * (unit == "%")


def _line(row: RegressionRow) -> str:
    state = " and ".join(row.causes) or "held"
    lead = ""
    if row.lead_now is not None and row.lead_baseline is not None:
        then, now = (signed(value, row.unit) for value in (row.lead_baseline, row.lead_now))
        lead = f", lead over control {then} -> {now}"
    scores = f"{number(row.baseline, row.unit)} -> {number(row.now, row.unit)}{' %' * (row.unit == '%')}"
    how = f"{_points(row.difference, row.unit)}, {p_value(row.p_adjusted)}, {plural(row.n, 'item')}"
    return f"  {row.benchmark} ({row.metric}): {scores} ({how}{lead}): {state}"
