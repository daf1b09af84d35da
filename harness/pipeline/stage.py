"""Stages: name, parameters, inputs and code, and the key that is a hash of all of them."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness.core.code_version import code_version
from harness.pipeline.store import Draft, Entry

ReportProgress = Callable[[str, int, int], None]  # (what, done, total): progress of the running stage


@dataclass(frozen=True)
class Context:
    """What a stage's body gets: the outputs of its inputs, and a function to report progress."""

    inputs: Mapping[str, Entry]
    report: ReportProgress

    def folder(self, name: str) -> Path:
        return self.inputs[name].folder


Folder = Callable[[Context], Path]  # where a stage finds files, once its inputs are finished
Work = Callable[[Draft, Context], None]


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline.

    `params` must be JSON-able. `code` names the modules whose source decides the output (`stage_code` finds
    them), `libraries` the installed packages whose version does.
    """

    name: str
    params: Mapping[str, Any]
    inputs: tuple["Stage", ...]
    code: tuple[str, ...]
    work: Work = field(compare=False)
    libraries: tuple[str, ...] = ()

    @cached_property
    def key(self) -> str:
        """16 hex digits: a hash of name, parameters, the inputs' keys, code versions and library versions."""
        parts = [
            self.name,
            json.dumps(self.params, sort_keys=True),
            *(f"{i.name}={i.key}" for i in self.inputs),
            *(f"{module}={digest}" for module, digest in self._code_versions().items()),
            *(f"{name}={version(name)}" for name in self.libraries),
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """What the key is made of, for the manifest."""
        return {
            "params": dict(self.params),
            "inputs": {i.name: i.key for i in self.inputs},
            "code": self._code_versions(),
            "libraries": {name: version(name) for name in self.libraries},
        }

    def _code_versions(self) -> dict[str, str]:
        return {module: code_version(module) for module in self.code}


def in_order(stages: Iterable[Stage]) -> list[Stage]:
    """The stages and all that they depend on, each once, inputs first."""
    seen: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        if stage.name not in seen:
            for needed in stage.inputs:
                visit(needed)
            seen[stage.name] = stage

    for stage in stages:
        visit(stage)
    return list(seen.values())
