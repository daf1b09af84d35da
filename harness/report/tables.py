"""The comparison as HTML: a chart of the scores per capability, and tables of all rows."""

from collections.abc import Sequence

from harness.core.formats import interval, number, plural, signed
from harness.core.record import AVERAGE, Cell, Comparison, Difference, Role, Row
from harness.report.charts import difference_track, reach_of, score_track
from harness.report.markup import Markup, join, tag
from harness.report.rows import (
    MARKS,
    ROLE_NAMES,
    average_rows,
    by_capability,
    models_of,
    standing,
    with_overall,
)

KINDS = {"better": "gain", "worse": "loss"}  # only significant differences are coloured
PLAIN_NAMES = {"bits_per_byte": "bits per byte", "score": "mean of headline metrics"}


def capability_picture(comparison: Comparison) -> Markup | None:
    """Per capability and model: the average score, and fused minus that model with its interval."""
    rows = with_overall(comparison, (r for r in average_rows(comparison) if r.unit == "%"))
    if not rows:
        return None
    differences = [d for r in rows for d in r.differences]
    reach = reach_of([v for d in differences for v in (d.low, d.high)])
    groups = [_group(row, comparison.confidence, reach) for row in rows]
    head = _scales(reach if differences else None)
    return tag("div", head, groups, class_="dots" if differences else "dots plain")


def score_table(comparison: Comparison, rows: Sequence[Row]) -> Markup:
    """Rows grouped by capability; a column per model; under each score fused minus that model."""
    models = models_of(comparison)
    header = tag("tr", tag("th", "Benchmark", scope="col"), [_column(*model) for model in models])
    bodies = [
        tag(
            "tbody",
            _capability(name, len(models)),
            [_table_row(r, comparison.confidence, models) for r in group],
        )
        for name, group in by_capability(rows).items()
    ]
    return tag("table", tag("thead", header), bodies, class_="scores")


def difference_parts(row: Row, difference: Difference, confidence: float) -> tuple[str, str, str]:
    """(text with mark, interval, CSS class) of one difference."""
    how = standing(row, difference, confidence)
    text = f"{signed(difference.difference, row.unit)} {MARKS[how]}".strip()
    return text, interval(difference.low, difference.high, row.unit), KINDS.get(how, "")


def difference_cells(
    row: Row, difference: Difference, confidence: float, reach: float
) -> tuple[Markup, Markup]:
    """(picture, words) of one difference on a scale of -reach to +reach."""
    text, between, css = difference_parts(row, difference, confidence)
    track = difference_track(
        difference.difference,
        difference.low,
        difference.high,
        reach,
        kind=css or "open",
        label=f"{text}, {between}",
    )
    return track, join([tag("span", text, class_=css or None), " ", tag("span", between, class_="ci")])


def scale_marks(reach: float) -> list[Markup]:
    return [tag("span", text) for text in (f"−{reach:g}", "0", f"+{reach:g}")]


def smallest(row: Row, difference: Difference) -> str:
    """'MDE 12.3': the minimum detectable effect of these items at 80 % power; '' where it is not known."""
    found = difference.smallest
    return "" if found is None else f"MDE {number(found, row.unit)}"


def _scales(reach: float | None) -> Markup:
    ends = [tag("span", text) for text in ("0", "50", "100 %")]
    cells = [
        tag("div", class_="name"),
        tag("div", ends, class_="score head scale"),
        tag("div", class_="number"),
    ]
    if reach is not None:
        cells += [
            tag("div", scale_marks(reach), class_="difference head scale"),
            tag("div", "fused minus this model", class_="fact head"),
        ]
    return tag("div", cells, class_="row")


def _group(row: Row, confidence: float, reach: float) -> list[Markup]:
    differences = {d.opponent: d for d in row.differences}
    cells = sorted(row.cells, key=lambda c: list(ROLE_NAMES).index(c.role))
    title = tag("div", f"{row.capability} ", tag("small", plural(cells[0].n, "item")), class_="group")
    return [title, *(_dot_row(row, c, differences.get(c.model), confidence, reach) for c in cells)]


def _dot_row(row: Row, cell: Cell, difference: Difference | None, confidence: float, reach: float) -> Markup:
    fused = cell.role is Role.FUSED
    score = number(cell.value)
    parts = [
        tag("div", cell.model, class_="name"),
        tag("div", score_track(cell.value, fused=fused, label=f"{cell.model} {score} %"), class_="score"),
        tag("div", score, class_="number"),
    ]
    if difference is not None:
        track, fact = difference_cells(row, difference, confidence, reach)
        parts += [tag("div", track, class_="difference"), tag("div", fact, class_="fact")]
    elif row.differences:
        parts += [tag("div", class_="difference"), tag("div", class_="fact")]
    return tag("div", parts, class_="row is-fused" if fused else "row")


def _column(name: str, role: Role) -> Markup:
    return tag("th", tag("span", ROLE_NAMES[role], class_="role"), name, scope="col")


def _capability(name: str, columns: int) -> Markup:
    return tag("tr", tag("th", name, scope="rowgroup", colspan=columns + 1), class_="capability")


def _table_row(row: Row, confidence: float, models: Sequence[tuple[str, Role]]) -> Markup:
    cells = {c.model: c for c in row.cells}
    differences = {d.opponent: d for d in row.differences}
    n = next(iter(cells.values())).n if cells else 0
    metric = PLAIN_NAMES.get(row.metric, row.metric)
    head = tag("th", row.benchmark, tag("small", f"{metric}, {plural(n, 'item')}"), scope="row")
    columns = [
        _score_cell(row, name, cells.get(name), differences.get(name), confidence) for name, _ in models
    ]
    return tag("tr", head, columns, class_="average" if row.benchmark == AVERAGE else None)


def _score_cell(
    row: Row, model: str, cell: Cell | None, difference: Difference | None, confidence: float
) -> Markup:
    if cell is None:
        return tag("td", "–", data_label=model)
    spans = [tag("span", number(cell.value, row.unit), class_="value")]
    if difference is not None:
        text, between, css = difference_parts(row, difference, confidence)
        spans += [tag("span", text, class_=css or None), tag("span", between, class_="ci")]
        spans += [tag("span", least, class_="ci least")] if (least := smallest(row, difference)) else []
    return tag("td", spans, data_label=model, class_="fused" if cell.role is Role.FUSED else None)
