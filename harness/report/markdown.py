"""The report as Markdown, for a pull request or an e-mail."""

from collections.abc import Sequence

from harness.core.formats import number
from harness.core.record import Change, Row, RunRecord
from harness.report.gained_lost import change_name, gap_words, shown_changes
from harness.report.method_text import scope
from harness.report.provenance import command
from harness.report.rows import ROLE_NAMES, likelihood_rows, models_of, score_rows, with_overall
from harness.report.tables import difference_parts, smallest
from harness.report.transfer import transfer_cells


def markdown(record: RunRecord) -> str:
    """Verdict, scores, differences, what the sources taught, notes and the command."""
    comparison = record.comparison
    parts = [
        f"# {record.suite.get('name', 'run')}: {comparison.verdict.outcome}",
        *([f"**{comparison.verdict.headline}**"] if comparison.verdict.headline else []),
        comparison.verdict.sentence,
        scope(record),
    ]
    for title, rows in (
        ("Scores (percent)", with_overall(comparison, score_rows(comparison))),
        ("Bits per byte of the right answer (lower is better)", likelihood_rows(comparison)),
    ):
        if rows:
            parts += [f"## {title}", _scores(record, rows)]
            parts += [_differences(record, rows)] if any(r.differences for r in rows) else []
    if changes := shown_changes(comparison):
        parts += ["## Items gained and lost, compared with the target before training", _changes(changes)]
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
        least = {d.opponent: smallest(row, d) for d in row.differences}
        cells = [_cell(found[o], least[o]) if o in found else "–" for o in opponents]
        body.append([row.capability, row.benchmark, row.metric, *cells])
    level = f"{100 * comparison.confidence:g} %"
    lede = (
        f"Fused minus each model on the same items, with its {level} confidence interval. ▲ significantly "
        "better, ▼ significantly worse, after correction for multiple comparisons; △ ▽ significant only "
        "before the correction; no mark: no significant difference. MDE: minimum detectable effect, the "
        "smallest true difference that so many items detect with 80 % power before the correction."
    )
    return lede + "\n\n" + _table(["capability", "benchmark", "metric", *(f"− {o}" for o in opponents)], body)


def _cell(parts: tuple[str, str, str], least: str) -> str:
    text, between, _ = parts
    return f"{text} ({between}; {least})" if least else f"{text} ({between})"


def _changes(changes: Sequence[Change]) -> str:
    known = "known to a source"
    head = ["benchmark", "model", "gained", known, "lost", known, "unchanged", "gap closed"]
    body = [[change_name(c), c.model, *_counts(c), gap_words(c)] for c in changes]
    return _table(head, body)


def _counts(change: Change) -> list[str]:
    counts = (change.gained, change.transferred, change.lost, change.interference, change.kept)
    return [str(count) for count in counts]


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
