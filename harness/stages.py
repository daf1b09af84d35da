"""What a stage is: a name, parameters, inputs and code; its key is the hash of all of them."""

import ast
import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from harness.store import Draft, Entry

Report = Callable[[str, int, int], None]  # (what, done, total): progress of the running stage


@dataclass(frozen=True)
class Context:
    """What a running stage is given: its inputs' finished outputs and a way to report progress."""

    inputs: Mapping[str, Entry]
    report: Report

    def folder(self, name: str) -> Path:
        return self.inputs[name].folder


Work = Callable[[Draft, Context], None]


@dataclass(frozen=True)
class Stage:
    """One arrow of the data flow. `params` must be JSON-able; `code` names modules whose source counts."""

    name: str
    params: Mapping[str, Any]
    inputs: tuple["Stage", ...]
    code: tuple[str, ...]
    work: Work = field(compare=False)

    @cached_property
    def key(self) -> str:
        """16 hex digits over name, parameters, the inputs' keys and the code version."""
        parts = [
            self.name,
            json.dumps(self.params, sort_keys=True),
            *(f"{i.name}={i.key}" for i in self.inputs),
            *(f"{module}={code_version(module)}" for module in self.code),
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """For the manifest: what the key was made of."""
        return {
            "params": dict(self.params),
            "inputs": {i.name: i.key for i in self.inputs},
            "code": {module: code_version(module) for module in self.code},
        }


@cache
def code_version(module: str) -> str:
    """Hash of a module's syntax tree without docstrings: comments and layout do not invalidate results."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module named {module!r}")
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        _drop_docstring(node)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def _drop_docstring(node: ast.AST) -> None:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return
    if ast.get_docstring(node, clean=False) is not None:
        node.body = node.body[1:]


def in_order(stages: Iterable[Stage]) -> list[Stage]:
    """Every stage and its inputs once, inputs first."""
    seen: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        if stage.name not in seen:
            for needed in stage.inputs:
                visit(needed)
            seen[stage.name] = stage

    for stage in stages:
        visit(stage)
    return list(seen.values())
