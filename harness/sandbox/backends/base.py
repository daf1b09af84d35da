"""What a way of confining a job gives to the executor: a command to start, and what belongs to it."""

import os
import shutil
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, ClassVar, Literal

from harness.sandbox.job import Job

Confinement = Literal["sandbox", "reduced", "subprocess"]  # as results record it
_BLOCK = 4096
PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Launch:
    """A process to start for a job, and what to do once it has ended."""

    argv: Sequence[str]
    folder: str  # the job's, as the process in the sandbox names it
    uid: int = -1  # whom the process in the sandbox becomes; -1: stays who it is
    environment: Mapping[str, str] = field(default_factory=dict)
    descriptors: Sequence[int] = ()  # for the process alone: closed here once it has started
    clean: Callable[[], None] = lambda: None
    disk_used: Callable[[], int] = lambda: 0  # bytes in the job's folder, where nothing else bounds them


class Backend(ABC):
    """One way of confining jobs."""

    name: ClassVar[str]
    mode: ClassVar[Confinement]
    counts_processes: ClassVar[bool] = True  # a job's processes are counted apart from this user's others

    @property
    def shown(self) -> str:
        """What it is, for a person."""
        return self.name

    @abstractmethod
    def launch(self, job: Job, uid: int, inside: Sequence[str], passed: Sequence[int]) -> Launch:
        """The command that runs `inside` (the first program) confined.

        Args:
            uid: a user of this job's own, where this process is root's; else -1.
            inside: command line of `harness.sandbox.inside.first`.
            passed: descriptors that it must inherit under their numbers.
        """


def environment(job: Job, folder: str) -> dict[str, str]:
    """All that a program finds in its environment."""
    base = {"PATH": PATH, "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8"}
    return {**base, **job.environment}


def contents(data: bytes | str) -> bytes:
    """A file's bytes; what UTF-8 cannot say becomes a question mark."""
    return data.encode("utf-8", errors="replace") if isinstance(data, str) else data


def folder_for(job: Job) -> tuple[Path, Callable[[], None]]:
    """A folder of this machine with the job's files, and what removes it."""
    folder = Path(tempfile.mkdtemp(prefix="program-"))
    for name, data in job.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents(data))
        path.chmod(0o755)
    return folder, lambda: shutil.rmtree(folder, ignore_errors=True)


def bytes_in(folder: Path) -> int:
    """What a folder's files take, each at least a block."""
    return sum(max(_BLOCK, size) for size in _sizes(str(folder)))


def _sizes(folder: str) -> Iterator[int]:
    with suppress(OSError), os.scandir(folder) as entries:  # any of it may be gone at any moment
        for entry in entries:
            with suppress(OSError):
                yield entry.stat(follow_symlinks=False).st_size
            if entry.is_dir(follow_symlinks=False):
                yield from _sizes(entry.path)


def in_memory(data: bytes) -> int:
    """A descriptor of a nameless file from which `data` can be read."""
    with tempfile.TemporaryFile() if not hasattr(os, "memfd_create") else open_memory() as file:
        file.write(data)
        file.seek(0)
        return os.dup(file.fileno())


def open_memory() -> BinaryIO:
    return os.fdopen(os.memfd_create("job"), "w+b")


def interpreter() -> str:
    """This interpreter itself, not the link to it that a virtual environment has."""
    return str(Path(getattr(sys, "_base_executable", "") or sys.executable).resolve())


def interpreter_folder() -> Path:
    """Where this interpreter and its standard library are: every sandbox can read it."""
    return Path(sys.base_prefix).resolve()
