"""A check as Markdown: the sentence, a table of benchmarks and capabilities, and what was not judged."""

import re

from harness.core.formats import p_value
from harness.regression.check import change, leads, scores
from harness.regression.ci.findings import Case, Findings
from harness.regression.decision import RegressionRow

_MARKS = {"held": "held", "improved": "**improved**", "regressed": "**regressed**", "skipped": "not judged"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#])")
_HEAD = (
    "| | metric | baseline → now | difference | lead over control | p | items | |",
    "|---|---|---:|---:|---:|---:|---:|---|",
)


def markdown(findings: Findings) -> str:
    """The complete document, with a final line break."""
    judged = [(case, case.row) for case in findings.cases if case.row is not None]
    table = [*_HEAD, *(_row(case, row) for case, row in judged)] if judged else []
    others = [_other(case) for case in findings.cases if case.row is None]
    parts = [
        [f"## Check of {_escaped(findings.run)}"],
        [_escaped(findings.headline)],
        table,
        others,
        list(findings.notes),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _row(case: Case, row: RegressionRow) -> str:
    name = f"{_escaped(case.name)} (average)" if case.kind == "capability" else _escaped(case.name)
    cells = (
        name,
        _escaped(row.metric),
        scores(row).replace("->", "→"),
        change(row),
        leads(row).replace("->", "→"),
        p_value(row.p_adjusted).removeprefix("p ").removeprefix("= "),
        str(row.n),
        _MARKS[case.state] + (f": {' and '.join(row.causes)}" if row.causes else ""),
    )
    return f"| {' | '.join(cells)} |"


def _other(case: Case) -> str:
    what = _escaped(case.message)
    return f"- {what}" if case.kind == "check" else f"- {_escaped(case.name)}: {_MARKS[case.state]}: {what}"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text.replace("\n", " "))
