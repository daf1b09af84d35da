"""The rooms of the project as a picture and a table, drawn from its imports and docstrings."""

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
HARNESS, LIBRARY = "harness", "fusion"
NEVER = "Never here:"
Imports = Mapping[str, frozenset[str]]  # room -> the rooms that it imports


@dataclass(frozen=True)
class Package:
    """A package or a module beside the packages: what its docstring says and how large it is."""

    name: str
    holds: str  # first line of the docstring
    never: str
    modules: int  # its own: those of packages below it are counted there
    lines: int


def rooms() -> str:
    """Markdown: the picture (floors from the contract, arrows from the imports) and the table of rooms."""
    imports = _imports(grimp.build_graph(HARNESS, LIBRARY, cache_dir=None))
    return f"```mermaid\n{picture(floors(), imports)}```\n\n{_table(imports)}"


def floors() -> list[list[str]]:
    """Rooms by floor, the top one first, as the contract in pyproject.toml has them; `fusion` on the last."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(c for c in contracts if c["id"] == "floors")["layers"]
    named = [[room.strip(" ()") for room in layer.split("|")] for layer in layers]
    named[-1].append(LIBRARY)
    here = [[room for room in floor if _files(room)] for floor in named]
    return [floor for floor in here if floor]


def picture(shown: Iterable[Iterable[str]], imports: Imports) -> str:
    """A Mermaid flow chart of rooms by floor.

    An import is drawn unless another way, over other rooms, leads to the same one; those of `fusion` always.
    """
    lines = ["flowchart TB"]
    for number, floor in enumerate(shown):
        lines += [f'    subgraph floor{number}[" "]', *(f"        {room}" for room in floor), "    end"]
    lines += [f"    {room} --> {other}" for room in imports for other in sorted(_drawn(room, imports))]
    return "\n".join(lines) + "\n"


def _drawn(room: str, imports: Imports) -> set[str]:
    others = imports[room]
    indirect = {found for other in others for found in _reached(other, imports)}
    return (set(others) - indirect) | (others & {LIBRARY})


def _reached(room: str, imports: Imports) -> set[str]:
    """What a room imports, directly or through others."""
    found: set[str] = set()
    waiting = [room]
    while waiting:
        new = imports[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def _imports(graph: grimp.ImportGraph) -> Imports:
    found: dict[str, set[str]] = {room: set() for floor in floors() for room in floor}
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            if (room := room_of(module)) != (imported := room_of(other)) and room in found:
                found[room].add(imported)
    return {room: frozenset(others) for room, others in found.items()}


def room_of(module: str) -> str:
    """`fusion`, or the name right below `harness` that a module belongs to; of `harness` itself, its own."""
    return module.removeprefix("harness.").partition(".")[0]


def _table(imports: Imports) -> str:
    head = "| room | what is in it | what must never be | imports | modules | lines |\n"
    rule = "|---|---|---|---|---|---|\n"
    return head + rule + "".join(_row(package, imports) for room in imports for package in _packages(room))


def _row(package: Package, imports: Imports) -> str:
    used = ", ".join(sorted(imports.get(package.name, ())))
    lines = max(round(package.lines, -2), 100)
    cells = (f"`{package.name}`", package.holds, package.never, used, package.modules, f"{lines:,}")
    return f"| {' | '.join(map(str, cells))} |\n"


def _packages(room: str) -> Iterator[Package]:
    """The room and every package in it."""
    files = _files(room)
    for folder in sorted({file.parent for file in files}):
        own = [file for file in files if file.parent == folder]
        name = room if folder == _place(room).parent else folder.relative_to(_place(room).parent).as_posix()
        yield _package(name, own)


def _place(room: str) -> Path:
    return ROOT / room if room == LIBRARY else ROOT / HARNESS / room


def _files(room: str) -> list[Path]:
    """The modules of a room, its own docstring's first; none where there is no such room."""
    module = _place(room).with_suffix(".py")
    return [module] if module.is_file() else sorted(_place(room).rglob("*.py"))


def _package(name: str, files: list[Path]) -> Package:
    text = ast.get_docstring(ast.parse(files[0].read_text())) or ""
    first = re.split(r"\.\s+(?=[A-Z])|\n\n", text)[0]
    never = next((p for p in text.split("\n\n") if p.startswith(NEVER)), "").removeprefix(NEVER)
    lines = sum(len(file.read_text().splitlines()) for file in files)
    return Package(name, _one_line(first), _one_line(never), len(files), lines)


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
