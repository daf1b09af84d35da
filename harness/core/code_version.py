"""The version of a module of this project: a hash of its syntax tree."""

import ast
import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # holds the packages fusion and harness


@cache
def code_version(module: str) -> str:
    """Hash of a module's syntax tree without docstrings: comments and formatting do not change it."""
    tree = syntax_tree(module)
    for node in ast.walk(tree):
        _drop_docstring(node)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def syntax_tree(module: str) -> ast.Module:
    """The parsed source of a module, without executing it. Raises ModuleNotFoundError."""
    path = source_of(module)
    if path is None:
        raise ModuleNotFoundError(f"no module named {module!r} in {ROOT}")
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def source_of(module: str) -> Path | None:
    """The file of a module or package of this project; None where there is no such module."""
    place = ROOT.joinpath(*module.split("."))
    candidates = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _drop_docstring(node: ast.AST) -> None:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return
    if ast.get_docstring(node, clean=False) is not None:
        node.body = node.body[1:]
