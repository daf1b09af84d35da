"""GitHub annotations of a check, as workflow commands: `::error title=...::message`.

GitHub shows ten errors per step and silently drops the rest, so the tenth says how many more there are.
"""

from collections.abc import Iterator

from harness.regression.ci.findings import Case, Findings

SHOWN = 10


def annotations(findings: Findings) -> list[str]:
    """Errors for regressions and reasons, a warning for what was not judged, a notice for improvements."""
    errors = [c for c in findings.with_state("regressed", "error") if not (c.row and c.row.same_as)]
    found = list(_errors(errors))
    for state, level in (("skipped", "warning"), ("improved", "notice")):
        cases = [c for c in findings.cases if c.state == state and not (c.row and c.row.same_as)]
        if cases:
            title = {"skipped": "Not judged", "improved": "Improved"}[state]
            found.append(command(level, title, "\n".join([_line(c) for c in cases])))
    return found


def _errors(cases: list[Case]) -> Iterator[str]:
    shown = cases if len(cases) <= SHOWN else cases[: SHOWN - 1]
    for case in shown:
        title = "Check not possible" if case.state == "error" else f"{case.name} regressed"
        yield command("error", title, case.message)
    if rest := len(cases) - len(shown):
        yield command("error", "More", f"{rest} more, listed in the step's summary")


def _line(case: Case) -> str:
    return case.message if case.row else f"{case.name}: {case.message}"


def command(level: str, title: str, message: str) -> str:
    """One workflow command, escaped so that title and message cannot end it or start another."""
    return f"::{level} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    """A message escaped as in GitHub's toolkit (actions/toolkit, packages/core/src/command.ts)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
