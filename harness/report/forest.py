"""Forest plots: fused minus control and fused minus target, per benchmark and average, with intervals."""

from collections.abc import Iterator

from harness.core.formats import plural
from harness.core.record import AVERAGE, Comparison, Difference, Role, Row
from harness.report.charts import reach_of
from harness.report.markup import Markup, join, tag
from harness.report.rows import by_capability, score_rows, with_overall
from harness.report.tables import difference_cells, scale_marks, smallest

YARDSTICKS = {
    Role.CONTROL: "Against the same training without sources",
    Role.TARGET: "Against the target before training",
}
Line = tuple[Row, Difference]


def forest(comparison: Comparison) -> Markup | None:
    """One plot per role in YARDSTICKS, on a common scale; None without a difference in percent."""
    plots = {role: list(_lines(comparison, role)) for role in YARDSTICKS}
    ends = [end for lines in plots.values() for _, d in lines for end in (d.low, d.high)]
    if not ends:
        return None
    reach = reach_of(ends)
    return join(
        _plot(YARDSTICKS[role], lines, comparison.confidence, reach) for role, lines in plots.items() if lines
    )


def _lines(comparison: Comparison, role: Role) -> Iterator[Line]:
    """Headline metrics and averages in percent, by capability; overall last."""
    rows = [r for group in by_capability(score_rows(comparison)).values() for r in group if r.headline]
    for row in with_overall(comparison, rows):
        if row.unit == "%":
            yield from ((row, d) for d in row.differences if d.role is role)


def _plot(title: str, lines: list[Line], confidence: float, reach: float) -> Markup:
    head = tag(
        "div",
        tag("div", title, class_="name head"),
        tag("div", scale_marks(reach), class_="difference head scale"),
        tag("div", "difference, interval", class_="fact head"),
        tag("div", "detectable", class_="reach head"),
        class_="row",
    )
    return tag("div", head, [_line(row, d, confidence, reach) for row, d in lines], class_="forest")


def _line(row: Row, difference: Difference, confidence: float, reach: float) -> Markup:
    average = row.benchmark == AVERAGE
    name = row.capability if average else row.benchmark
    track, fact = difference_cells(row, difference, confidence, reach)
    return tag(
        "div",
        tag("div", name, " ", tag("small", plural(difference.n, "item")), class_="name"),
        tag("div", track, class_="difference"),
        tag("div", fact, class_="fact"),
        tag("div", smallest(row, difference), class_="reach"),
        class_="row average" if average else "row",
    )
