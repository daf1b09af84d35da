"""The version of a module: a hash of its syntax tree."""

import ast
import hashlib
import importlib.util
from functools import cache
from pathlib import Path


@cache
def code_version(module: str) -> str:
    """Hash of a module's syntax tree without docstrings: comments and layout do not invalidate results."""
    tree = syntax_tree(module)
    for node in ast.walk(tree):
        _drop_docstring(node)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def syntax_tree(module: str) -> ast.Module:
    """The parsed source of a module, which is found and not executed."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module named {module!r}")
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def _drop_docstring(node: ast.AST) -> None:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return
    if ast.get_docstring(node, clean=False) is not None:
        node.body = node.body[1:]
