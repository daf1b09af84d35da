"""The report as Markdown: for a pull request, a terminal, or a mail."""

from collections.abc import Sequence

from harness.formats import number
from harness.report.background import command
from harness.report.tables import difference_parts
from harness.report.transfer import transfer_cells
from harness.results import Row, RunRecord
from harness.view import ROLE_NAMES, likelihood_rows, models_of, score_rows


def markdown(record: RunRecord) -> str:
    """Verdict, scores, differences, what the sources taught, notes and the command."""
    comparison = record.comparison
    parts = [
        f"# {record.suite.get('name', 'run')}: {comparison.verdict.outcome}",
        comparison.verdict.sentence,
    ]
    for title, rows in (
        ("Scores (percent)", score_rows(comparison)),
        ("Bits per byte of the right answer (lower is better)", likelihood_rows(comparison)),
    ):
        if rows:
            parts += [f"## {title}", _scores(record, rows)]
            parts += [_differences(record, rows)] if any(r.differences for r in rows) else []
    head, transfer = transfer_cells(record)
    if transfer:
        parts += ["## What the sources taught", _table(head, transfer)]
    if record.notes:
        parts += ["## Notes", "\n".join(f"- {note}" for note in record.notes)]
    parts.append(f"Run `{record.run}`, seed {record.seed}: `{command(record)}`")
    return "\n\n".join(parts) + "\n"


def _scores(record: RunRecord, rows: Sequence[Row]) -> str:
    models = models_of(record.comparison)
    head = [
        "capability",
        "benchmark",
        "metric",
        "n",
        *(f"{name} ({ROLE_NAMES[role]})" for name, role in models),
    ]
    body = []
    for row in rows:
        values = {c.model: number(c.value, row.unit) for c in row.cells}
        n = row.cells[0].n if row.cells else 0
        body.append(
            [row.capability, row.benchmark, row.metric, str(n), *(values.get(m, "–") for m, _ in models)]
        )
    return _table(head, body)


def _differences(record: RunRecord, rows: Sequence[Row]) -> str:
    comparison = record.comparison
    opponents = [
        name
        for name, _ in models_of(comparison)
        if any(d.opponent == name for r in rows for d in r.differences)
    ]
    body = []
    for row in rows:
        found = {d.opponent: difference_parts(row, d, comparison.confidence) for d in row.differences}
        cells = [f"{found[o][0]} ({found[o][1]})" if o in found else "–" for o in opponents]
        body.append([row.capability, row.benchmark, row.metric, *cells])
    level = f"{100 * comparison.confidence:g} %"
    lede = f"Fused minus each model, same items, {level} interval; ▲ better, ▼ worse (after correction)."
    return lede + "\n\n" + _table(["capability", "benchmark", "metric", *(f"− {o}" for o in opponents)], body)


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
