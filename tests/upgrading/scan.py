"""Where the source uses private names of libraries, or changes attributes of their objects.

A heuristic on syntax trees: a name is taken for a library's unless this project defines the same name.
"""

import ast
import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("harness", "fusion", "suites", "benchmarks")
_BY_NAME = {
    "getattr",
    "hasattr",
    "setattr",
    "delattr",
    "replaced",
}  # take an attribute's name as second argument
_CHANGING = {"setattr", "delattr", "replaced"}
_OWN = {"self", "cls"}
_DUNDERS = {"__class__", "__dict__", "__wrapped__", "__code__", "__globals__"}


class Use(NamedTuple):
    """A name in a module, such as ("harness.scoring.tasks", "_filters")."""

    module: str
    name: str


def sources(root: Path = ROOT) -> dict[str, ast.Module]:
    """Module -> its syntax tree, of everything that is installed, and of the benchmarks."""
    files = [*root.glob("*.py"), *(path for room in ROOMS for path in (root / room).rglob("*.py"))]
    return {_module(path.relative_to(root)): ast.parse(path.read_text(encoding="utf-8")) for path in files}


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def uses(trees: Mapping[str, ast.Module]) -> set[Use]:
    """Private names of libraries, and attributes of their objects that are assigned, replaced or deleted."""
    names = {name for tree in trees.values() for name in _names(tree)} - _DUNDERS
    attributes = {name for tree in trees.values() for name in _attributes(tree)}
    return {
        Use(module, name)
        for module, tree in trees.items()
        for name in (
            *(name for name in _read(tree) if name not in names | attributes),
            *(name for name in _changed(tree) if name not in attributes),
            *_of_parents(tree),
            *_overridden(tree),
        )
    }


def _is_private(name: str) -> bool:
    return name in _DUNDERS or (name.startswith("_") and not name.startswith("__"))


def _names(tree: ast.AST) -> Iterator[str]:
    """Names of this project's own functions, classes, variables and arguments."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name


def _attributes(tree: ast.AST) -> Iterator[str]:
    """Attributes of this project's own classes: fields, and what is assigned to `self`."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                yield name
            case ast.ClassDef(body=body):
                yield from (
                    s.target.id
                    for s in body
                    if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
                )


def _read(tree: ast.AST) -> Iterator[str]:
    """Private names after a dot, in imports, and in strings that name an attribute."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) if _is_private(name):
                yield name
            case ast.ImportFrom(module=module, names=names):
                yield from filter(_is_private, [*(module or "").split("."), *(n.name for n in names)])
            case ast.Import(names=names):
                yield from filter(_is_private, [part for n in names for part in n.name.split(".")])
            case ast.FunctionDef(name=name) if name in _DUNDERS:
                yield name
            case ast.Call(func=function, args=[_, ast.Constant(value=str(name)), *_]):
                if _last(function) in _BY_NAME and _is_private(name):
                    yield name


def _changed(tree: ast.AST) -> Iterator[str]:
    """Attributes of anything but `self` that are assigned or deleted, or set by name."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=value, attr=name, ctx=ast.Store() | ast.Del()):
                if not (isinstance(value, ast.Name) and value.id in _OWN):
                    yield name
            case ast.Call(func=function, args=[_, ast.Constant(value=str(name)), *_]):
                if _last(function) in _CHANGING:
                    yield name


def _of_parents(tree: ast.AST) -> Iterator[str]:
    """Private names after `super().`"""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr=name) if _is_private(name):
                yield name


def _overridden(tree: ast.Module) -> Iterator[str]:
    """Private methods of library classes that a class here overrides."""
    imported = dict(_imported(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            parents = [found for base in node.bases if (found := _library_class(base, imported))]
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and _is_private(method.name):
                    yield from (method.name for parent in parents if hasattr(parent, method.name))


def _imported(tree: ast.AST) -> Iterator[tuple[str, tuple[str, str]]]:
    """Local name -> (module, attribute or "") of what libraries give."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names, level=0):
                if module.split(".")[0] not in ROOMS:
                    yield from ((n.asname or n.name, (module, n.name)) for n in names)
            case ast.Import(names=names):
                yield from ((n.asname or n.name, (n.name, "")) for n in names if "." not in n.name)


def _library_class(base: ast.expr, imported: Mapping[str, tuple[str, str]]) -> Any:
    first, *rest = ast.unparse(base).split(".")
    if first not in imported:
        return None
    module, attribute = imported[first]
    found: Any = importlib.import_module(module)
    for name in filter(None, [attribute, *rest]):
        found = getattr(found, name, None)
    return found


def _last(function: ast.expr) -> str:
    return ast.unparse(function).rpartition(".")[2]


def spelled(tree: ast.Module) -> str:
    """A module's source without its docstrings and comments, where an assumption's names are looked for."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                node.value = ast.Constant(value=None)
    return ast.unparse(tree)
