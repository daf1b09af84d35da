"""The interface of sandbox backends: the command to start for a job, its environment, files and clean-up."""

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
    """The process to start for a job, and the clean-up to do once it has ended."""

    argv: Sequence[str]
    folder: str  # the job's folder, as seen from inside the sandbox
    uid: int = -1  # user ID that the process in the sandbox switches to; -1: no change
    environment: Mapping[str, str] = field(default_factory=dict)
    descriptors: Sequence[int] = ()  # inherited by the process, closed here once it has started
    clean: Callable[[], None] = lambda: None
    disk_used: Callable[[], int] = lambda: 0  # bytes in the job's folder, if nothing else limits them


class Backend(ABC):
    """A way of confining jobs."""

    name: ClassVar[str]
    mode: ClassVar[Confinement]
    counts_processes: ClassVar[bool] = True  # the process limit counts only the job's own processes

    @property
    def shown(self) -> str:
        """Name to show to the user."""
        return self.name

    @abstractmethod
    def launch(self, job: Job, uid: int, inside: Sequence[str], passed: Sequence[int]) -> Launch:
        """Return the command that runs `inside` (the first program) in the sandbox.

        Args:
            uid: user ID reserved for this job if FuseGauge runs as root, else -1.
            inside: command line of `harness.sandbox.inside.first`.
            passed: file descriptors that it must inherit, with the same numbers.
        """


def environment(job: Job, folder: str) -> dict[str, str]:
    """The program's environment variables; nothing is inherited from this process."""
    base = {"PATH": PATH, "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8"}
    return {**base, **job.environment}


def contents(data: bytes | str) -> bytes:
    """A file's content as bytes; characters that UTF-8 cannot encode become question marks."""
    return data.encode("utf-8", errors="replace") if isinstance(data, str) else data


def folder_for(job: Job) -> tuple[Path, Callable[[], None]]:
    """A temporary folder on this machine with the job's files, and a function that removes it."""
    folder = Path(tempfile.mkdtemp(prefix="program-"))
    for name, data in job.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents(data))
        path.chmod(0o755)
    return folder, lambda: shutil.rmtree(folder, ignore_errors=True)


def bytes_in(folder: Path) -> int:
    """Disk space used by a folder's files, in bytes; each counts as at least one block."""
    return sum(max(_BLOCK, size) for size in _sizes(str(folder)))


def _sizes(folder: str) -> Iterator[int]:
    with suppress(OSError), os.scandir(folder) as entries:  # files may disappear while they are listed
        for entry in entries:
            with suppress(OSError):
                yield entry.stat(follow_symlinks=False).st_size
            if entry.is_dir(follow_symlinks=False):
                yield from _sizes(entry.path)


def in_memory(data: bytes) -> int:
    """File descriptor of an anonymous file that contains `data`, positioned at its start."""
    with tempfile.TemporaryFile() if not hasattr(os, "memfd_create") else open_memory() as file:
        file.write(data)
        file.seek(0)
        return os.dup(file.fileno())


def open_memory() -> BinaryIO:
    return os.fdopen(os.memfd_create("job"), "w+b")


def interpreter() -> str:
    """Path of the Python interpreter itself, with a virtual environment's symbolic link resolved."""
    return str(Path(getattr(sys, "_base_executable", "") or sys.executable).resolve())


def interpreter_folder() -> Path:
    """Folder of the interpreter and its standard library; readable in every sandbox."""
    return Path(sys.base_prefix).resolve()
