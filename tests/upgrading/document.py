"""The tables in docs/upgrading.md, made from the entries."""

from collections.abc import Iterator
from itertools import groupby

from tests.upgrading.assumption import Assumption
from tests.upgrading.entries import ASSUMPTIONS

_HEAD = "| name | used in | assumed | why no public name | what breaks | test |\n|---|---|---|---|---|---|"


def tables() -> str:
    """A table for each library."""
    return "\n" + "\n\n".join(_tables()) + "\n\n"


def _tables() -> Iterator[str]:
    for library, entries in groupby(ASSUMPTIONS, key=lambda entry: entry.library):
        yield f"### {library}\n\n" + "\n".join([_HEAD, *map(_row, entries)])


def _row(entry: Assumption) -> str:
    name = ", ".join(part if " " in part else f"`{part}`" for part in entry.name.split(", "))
    modules = ", ".join(f"`{module}`" for module in entry.used_in)
    cells = (name, modules, entry.assumed, entry.why, entry.breaks, f"`{entry.test}`")
    return "| " + " | ".join(cells) + " |"
