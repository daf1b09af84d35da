"""Lets an attack loose on a harness that has something to lose, and says what came of it."""

import contextlib
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from harness.sandbox.backends.base import PATH, Backend
from harness.sandbox.executor import execute
from harness.sandbox.job import Job
from harness.sandbox.languages.nonce import judge_job
from harness.sandbox.python_program import LIMITS, PythonProgram, judge_python
from harness.sandbox.users import spare_user
from tests.harness.sandbox.attack import Attack

_QUICK = replace(LIMITS, cpu_seconds=2, wall_seconds=4.0)


@dataclass(frozen=True)
class Row:
    """One attack as it went."""

    attack: str
    language: str
    kind: str
    backend: str
    user: str
    ended: str
    passed: bool  # a wrong program was said to be right
    escaped: str  # what it reached; "" for nothing
    left: str  # what was there after it; "" for nothing


class World:
    """What an attack may want: a file, sockets, a secret in the environment, a process to kill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.chmod(0o777)
        (folder / "secret").write_text("FUSEGAUGE_SECRET")
        (folder / "secret").chmod(0o644)
        self._listening = [socket.create_server(("127.0.0.1", 0)), *map(self._unix, ("abstract", "file"))]
        (folder / "socket").chmod(0o777)

    def _unix(self, kind: str) -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.bind(f"\0{self.name}" if kind == "abstract" else str(self.folder / "socket"))
        made.listen()
        return made

    @property
    def name(self) -> str:
        return f"fusegauge-{self.folder.name}"

    def filled(self, source: str) -> str:
        """A program with the world's places in it."""
        places = {
            "{port}": str(self._listening[0].getsockname()[1]),
            "{name}": self.name,
            "{folder}": str(self.folder),
            "{process}": str(os.getpid()),
        }
        for mark, place in places.items():
            source = source.replace(mark, place)
        return source

    def harm(self) -> Iterator[str]:
        """What an attack did to it."""
        if sorted(p.name for p in self.folder.iterdir()) != ["secret", "socket"]:
            yield "files were written"
        if (self.folder / "secret").stat().st_mode & 0o777 != 0o644:
            yield "a mode was changed"
        for listening in self._listening:
            listening.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                listening.accept()[0].close()
                yield "a socket was reached"

    def close(self) -> None:
        for listening in self._listening:
            listening.close()


@contextmanager
def world() -> Iterator[World]:
    with ExitStack() as stack:
        made = World(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        stack.callback(made.close)
        yield made


def can_be_tried(attack: Attack) -> bool:
    return not attack.needs or shutil.which(attack.needs, path=PATH) is not None


def attempt(attack: Attack, backend: Backend) -> Row:
    """Run one attack. SandboxError where the sandbox itself gave way."""
    mark = secrets.token_hex(8)
    with world() as scene, spare_user() as uid:
        ended, passed, said = _run(attack, backend, uid, scene, mark)
        harm = [*(["it says so"] if "ESCAPED" in said else []), *scene.harm()]
        left = [*_processes_with(mark), *_processes_of(uid)]
    user = "root" if os.geteuid() == 0 else "user"
    return Row(
        attack.name,
        attack.language,
        attack.kind,
        backend.name,
        user,
        ended,
        passed,
        ", ".join(harm),
        ", ".join(left),
    )


def _run(attack: Attack, backend: Backend, uid: int, scene: World, mark: str) -> tuple[str, bool, str]:
    """How it ended, whether it passed, what it said."""
    program = attack.program
    if isinstance(program, PythonProgram):
        verdict = judge_python(program, backend, uid, _QUICK)
        return str(verdict.ruling), verdict.passed, verdict.detail
    files = {name: scene.filled(str(text)) for name, text in program.files.items()}
    job: Job = replace(program, files=files, environment={"MARK": mark})
    if attack.kind == "verdict":
        verdict = judge_job(job, backend, uid)
        return str(verdict.ruling), verdict.passed, verdict.detail
    outcome = execute(job, backend, uid)
    return outcome.status, False, (outcome.stdout + outcome.stderr).decode(errors="replace")


def _processes_with(mark: str) -> Iterator[str]:
    for process in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
        with contextlib.suppress(OSError):
            if mark.encode() in Path(f"/proc/{process}/environ").read_bytes():
                yield f"process {process}"


def _processes_of(uid: int) -> Iterator[str]:
    for process in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
        with contextlib.suppress(OSError):
            if uid >= 0 and Path(f"/proc/{process}").stat().st_uid == uid:
                yield f"process {process} of user {uid}"
