"""The regression check of a run against a saved baseline; its criteria are in harness.regression.decision."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from harness.core.formats import Unit, listed, number, p_value, plural, signed
from harness.core.record import Record, RunRecord
from harness.regression.baseline import Baseline, read_baseline
from harness.regression.comparability import require_comparable
from harness.regression.decision import RegressionRow, judged
from harness.regression.pairing import benchmark_pairs
from harness.suite.tolerance import overridden, spelled_out


class Unjudged(Record):
    """A benchmark without a row, and the reason."""

    name: str
    reason: str


class RegressionVerdict(Record):
    """The result of `check`; exit code 0: held, 1: regressed."""

    exit_code: Literal[0, 1]
    sentence: str
    rows: tuple[RegressionRow, ...]
    unjudged: tuple[Unjudged, ...] = ()
    varied: tuple[str, ...] = ()  # settings that differ on purpose (`--vary`)
    save: str = ""  # the command that makes an improved run the new baseline

    def text(self) -> str:
        """The sentence, then one line per row, and what was not judged."""
        lines = [self.sentence, *(f"  {line(row)}" for row in self.rows if not row.same_as)]
        lines += [f"  {each.name}: not judged: {each.reason}" for each in self.unjudged]
        lines += [f"  setting under test: {difference}" for difference in self.varied]
        return "\n".join([*lines, *([f"  -> make it the new baseline: {self.save}"] if self.save else [])])


def check(
    record: RunRecord,
    run_dir: Path,
    baseline_path: Path,
    tolerances: Sequence[str] = (),
    vary: Sequence[str] = (),
) -> RegressionVerdict:
    """Compare the run's fused model with the baseline's.

    `tolerances` (`POINTS`, `NAME=POINTS`) override the suite's; `vary` names settings that may differ.

    Raises IncompleteError where outcomes of the baseline are missing in the run, NotComparableError where
    suite, settings, benchmarks or items differ (it lists all differences), and InputError where the baseline
    is missing or unreadable, or an argument has an unknown name.
    """
    baseline = read_baseline(baseline_path)
    allowed = _tolerances(record, tolerances)
    now, varied = require_comparable(record, run_dir, baseline, baseline_path, vary)
    rows = judged(benchmark_pairs(baseline, now), allowed, 1 - record.comparison.confidence)
    regressed = any(row.causes for row in rows)
    improved = any(row.improved for row in rows) and not regressed
    return RegressionVerdict(
        exit_code=1 if regressed else 0,
        sentence=_sentence([row for row in rows if not row.same_as]),
        rows=rows,
        unjudged=tuple(_unjudged(record, baseline)),
        varied=varied,
        save=f"fusegauge baseline save {record.run} --to {baseline_path}" if improved else "",
    )


def _tolerances(record: RunRecord, overrides: Sequence[str]) -> dict[str, float]:
    names = [b.name for b in record.benchmarks] + [b.capability for b in record.benchmarks]
    suite = spelled_out(record.suite["comparison"]["tolerance"])
    return overridden(suite, overrides, list(dict.fromkeys(names)))


def _unjudged(record: RunRecord, baseline: Baseline) -> Iterator[Unjudged]:
    for benchmark in record.benchmarks:
        if benchmark.name not in baseline.benchmarks:
            yield Unjudged(name=benchmark.name, reason="it is not in the baseline")
        elif not baseline.benchmarks[benchmark.name].metrics:
            yield Unjudged(name=benchmark.name, reason="the baseline has no scores for it")


def _sentence(rows: Sequence[RegressionRow]) -> str:
    bad = [f"{row.name} {' and '.join(row.causes)} ({change(row)})" for row in rows if row.causes]
    if bad:
        return f"Regressed: {'; '.join(bad)}."
    better = [row.name for row in rows if row.improved]
    improved = f" {listed(better)} improved." if better else ""
    beyond = " by more than the tolerance" if any(row.tolerance for row in rows) else ""
    count = plural(sum(row.kind == "benchmark" for row in rows), "benchmark")
    return f"Held: {count}, none significantly worse than the baseline{beyond}.{improved}"


def state(row: RegressionRow) -> str:
    """'held', 'improved', or the causes of the regression."""
    return " and ".join(row.causes) or ("improved" if row.improved else "held")


def line(row: RegressionRow) -> str:
    """A row in one line of text."""
    how = f"{change(row)}, {p_value(row.p_adjusted)}, {plural(row.n, 'item')}"
    lead = f", lead over control {leads(row)}" if row.lead_now is not None else ""
    return f"{row.name} ({row.metric}): {scores(row)} ({how}{lead}): {state(row)}"


def scores(row: RegressionRow) -> str:
    """'66.4 -> 63.1 %'."""
    unit = " %" if row.unit == "%" else ""
    return f"{number(row.baseline, row.unit)} -> {number(row.now, row.unit)}{unit}"


def leads(row: RegressionRow) -> str:
    """'+11.1 -> +9.8'; empty without a control."""
    if row.lead_now is None or row.lead_baseline is None:
        return ""
    return f"{signed(row.lead_baseline, row.unit)} -> {signed(row.lead_now, row.unit)}"


def change(row: RegressionRow) -> str:
    """'−3.4 points, tolerance 2'."""
    tolerance = f", tolerance {row.tolerance:g}" if row.tolerance else ""
    return _points(row.difference, row.unit) + tolerance


def _points(difference: float, unit: Unit) -> str:
    return signed(difference, unit) + " points" * (unit == "%")
