"""A check as a list of cases: one per benchmark and capability, or one per reason it was impossible. Pure."""

from dataclasses import dataclass
from typing import Literal

from harness.core.exceptions import FuseGaugeError
from harness.regression.check import RegressionVerdict, line, state
from harness.regression.decision import RegressionRow

CaseState = Literal["held", "improved", "regressed", "skipped", "error"]


@dataclass(frozen=True)
class Case:
    """`message` is one line; `row` the numbers, where there are any."""

    kind: str  # benchmark, capability, or check
    name: str
    state: CaseState
    message: str
    row: RegressionRow | None = None


@dataclass(frozen=True)
class Findings:
    """A check of the run `run`: one sentence, its cases, and notes of one line each."""

    run: str
    headline: str
    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()

    def with_state(self, *states: CaseState) -> list[Case]:
        return [case for case in self.cases if case.state in states]


def findings_of(run: str, verdict: RegressionVerdict) -> Findings:
    """The rows of a verdict as cases; benchmarks that were not judged are skipped."""
    rows = [Case(row.kind, row.name, _state(row), line(row), row) for row in verdict.rows]
    skipped = [Case("benchmark", each.name, "skipped", each.reason) for each in verdict.unjudged]
    notes = [f"Setting under test: {difference}." for difference in verdict.varied]
    notes += [f"To make this run the new baseline: `{verdict.save}`"] if verdict.save else []
    return Findings(run, verdict.sentence, (*rows, *skipped), tuple(notes))


def _state(row: RegressionRow) -> CaseState:
    if row.causes:
        return "regressed"
    return "improved" if state(row) == "improved" else "held"


def findings_of_error(run: str, error: FuseGaugeError) -> Findings:
    """A check that was not possible: every reason is a case with state error."""
    headline, *reasons = [text.strip().removeprefix("- ") for text in error.message.splitlines()]
    cases = [Case("check", f"reason {i}", "error", text) for i, text in enumerate(reasons or [headline], 1)]
    return Findings(run, headline.rstrip(":") + ".", tuple(cases), (f"Remedy: {error.remedy}.",))
