"""In-memory cache of verdicts: equal programs under equal conditions run once."""

import hashlib
import json
import platform
import threading
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from harness.sandbox.backends.base import Backend, contents
from harness.sandbox.job import Job, Limits
from harness.sandbox.program_verdict import VERSION, ProgramVerdict, Ruling
from harness.sandbox.python_program import PythonProgram

JudgedProgram = PythonProgram | Job


class VerdictCache:
    """Verdicts by key; time-outs are not cached, because they depend on the machine's load."""

    def __init__(self) -> None:
        self._kept: dict[str, ProgramVerdict] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> ProgramVerdict | None:
        with self._lock:
            return self._kept.get(key)

    def keep(self, key: str, verdict: ProgramVerdict) -> None:
        if verdict.ruling is not Ruling.TIMEOUT:
            with self._lock:
                self._kept[key] = verdict


def key_of(program: JudgedProgram, limits: Limits, backend: Backend, toolchain: str) -> str:
    """Hash of everything that a verdict depends on: source (with the nonce's placeholders), tests, compile
    and run commands, limits, toolchain version, backend and version of the verdict rules.
    """
    content = [VERSION, backend.name, toolchain, platform.python_version(), asdict(limits), _said(program)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8", "replace")).hexdigest()


def _said(program: JudgedProgram) -> Any:
    if isinstance(program, PythonProgram):
        return asdict(program)
    files = {name: hashlib.sha256(contents(data)).hexdigest() for name, data in program.files.items()}
    return {**asdict(replace(program, files={}, binds=())), "files": files, "binds": _places(program.binds)}


def _places(binds: Sequence[Any]) -> list[list[str]]:
    return [[str(bind.source), bind.place] for bind in binds]
