"""A plain table: a head, and rows of texts and numbers that scroll sideways on a narrow page."""

from collections.abc import Iterable

from harness.report.markup import Child, Markup, tag


def table(head: list[str], rows: Iterable[list[Child]], left: tuple[int, ...] = ()) -> Markup:
    """Columns other than the first and those in `left` are numbers."""

    def css(column: int) -> str | None:
        return None if column == 0 or column in left else "number"

    header = tag("tr", [tag("th", h, scope="col", class_=css(i)) for i, h in enumerate(head)])
    body = [tag("tr", [tag("td", v, class_=css(i)) for i, v in enumerate(row)]) for row in rows]
    return tag("div", tag("table", tag("thead", header), tag("tbody", body)), class_="scroll")
