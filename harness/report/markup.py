"""HTML building with automatic escaping: text is escaped unless it is Markup."""

from collections.abc import Iterable
from html import escape

VOID = frozenset({"meta", "br", "hr", "circle", "line", "polyline", "rect"})


class Markup(str):
    """Text that is already HTML."""

    __slots__ = ()


Child = str | int | None | Iterable["Child"]


def tag(name: str, /, *children: Child, **attributes: str | int | bool | None) -> Markup:
    """`<name ...>children</name>`. A trailing underscore of an attribute is dropped, others become hyphens.

    Attributes that are None or False are left out; True gives an attribute without a value.
    """
    head = name + "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{head}/>")
    return Markup(f"<{head}>{join(children)}</{name}>")


def join(children: Child) -> Markup:
    """The concatenated children; plain text is escaped."""
    if children is None:
        return Markup("")
    if isinstance(children, Markup):
        return children
    if isinstance(children, str | int):
        return Markup(escape(str(children)))
    return Markup("".join(join(child) for child in children))


def _attribute(key: str, value: str | int | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def table(head: list[str], rows: Iterable[list[Child]], left: tuple[int, ...] = ()) -> Markup:
    """Columns other than the first and those in `left` are numbers."""

    def css(column: int) -> str | None:
        return None if column == 0 or column in left else "number"

    header = tag("tr", [tag("th", h, scope="col", class_=css(i)) for i, h in enumerate(head)])
    body = [tag("tr", [tag("td", v, class_=css(i)) for i, v in enumerate(row)]) for row in rows]
    return tag("div", tag("table", tag("thead", header), tag("tbody", body)), class_="scroll")
