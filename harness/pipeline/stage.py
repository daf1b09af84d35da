"""What a stage is: a name, parameters, inputs and code; its key is the hash of all of them."""

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
    """What a running stage is given: its inputs' finished outputs and a way to report progress."""

    inputs: Mapping[str, Entry]
    report: ReportProgress

    def folder(self, name: str) -> Path:
        return self.inputs[name].folder


Folder = Callable[[Context], Path]  # where a stage finds something, once its inputs are there
Work = Callable[[Draft, Context], None]


@dataclass(frozen=True)
class Stage:
    """One arrow of the data flow.

    `params` must be JSON-able. `code` names the modules whose source decides the output (`stage_code` finds
    them), `libraries` the distributions whose version does.
    """

    name: str
    params: Mapping[str, Any]
    inputs: tuple["Stage", ...]
    code: tuple[str, ...]
    work: Work = field(compare=False)
    libraries: tuple[str, ...] = ()

    @cached_property
    def key(self) -> str:
        """16 hex digits over name, parameters, the inputs' keys and the code version."""
        parts = [
            self.name,
            json.dumps(self.params, sort_keys=True),
            *(f"{i.name}={i.key}" for i in self.inputs),
            *(f"{module}={digest}" for module, digest in self._code_versions().items()),
            *(f"{name}={version(name)}" for name in self.libraries),
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """For the manifest: what the key was made of."""
        return {
            "params": dict(self.params),
            "inputs": {i.name: i.key for i in self.inputs},
            "code": self._code_versions(),
            "libraries": {name: version(name) for name in self.libraries},
        }

    def _code_versions(self) -> dict[str, str]:
        return {module: code_version(module) for module in self.code}


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
