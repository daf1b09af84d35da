"""A name means one thing: no public type and no module of fusion and harness has the name of another."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = [path for room in ("fusion", "harness") for path in sorted((ROOT / room).rglob("*.py"))]
TYPE_NAME = re.compile(r"[A-Z]\w*[a-z]\w*")  # not a constant, whose name has capitals alone


def public_types(tree: ast.Module) -> Iterator[str]:
    """Classes, and names that a module gives to types: `Rows = Mapping[str, int]`."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
        else:
            continue
        yield from (name for name in names if TYPE_NAME.fullmatch(name))


def repeated(named: Iterable[tuple[str, Path]]) -> dict[str, list[str]]:
    places = defaultdict(list)
    for name, path in named:
        places[name].append(path.relative_to(ROOT).as_posix())
    return {name: where for name, where in places.items() if len(where) > 1}


def test_public_types_are_found() -> None:
    source = "class A1a: ...\nRows = dict[str, int]\nKind: type = int\nLIMIT = 3\n_Own = int\ndef F(): ...\n"
    assert list(public_types(ast.parse(source))) == ["A1a", "Rows", "Kind"]


def test_no_type_has_the_name_of_another() -> None:
    types = [(name, path) for path in MODULES for name in public_types(ast.parse(path.read_text("utf-8")))]
    assert len(types) > 100
    assert repeated(types) == {}


def test_no_module_has_the_name_of_another() -> None:
    modules = [(path.stem, path) for path in MODULES if not path.stem.startswith("__")]
    assert repeated(modules) == {}
