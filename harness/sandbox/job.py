"""What is run in a sandbox and what becomes of it: plain data, the same for every language and backend."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

JOB_FOLDER = "/job"  # where a program finds its files, in a sandbox that has its own root folder

Status = Literal["ok", "exit", "signal", "timeout", "memory", "output", "disk"]


@dataclass(frozen=True)
class Limits:
    """Bounds for one step of a job."""

    cpu_seconds: int = 10  # of each process
    wall_seconds: float = 10.0
    memory_bytes: int = 1 << 30  # resident, of all its processes together
    address_space: bool = True  # memory_bytes bounds each one's address space too; not for JVM, V8, Go
    processes: int = 32  # with threads; at most at once
    open_files: int = 256  # of each process
    file_bytes: int = 64 << 20  # of each file
    output_bytes: int = 64 << 10  # kept of each of stdout and stderr: its head and its tail
    flood_bytes: int = 16 << 20  # written to stdout and stderr past this, the program is ended


@dataclass(frozen=True)
class Bind:
    """A file or folder of this machine that the program may read, at `target` (default: where it is)."""

    source: Path
    target: str = ""

    @property
    def place(self) -> str:
        return self.target or str(self.source)


@dataclass(frozen=True)
class Step:
    """A program that runs before the job's own in the same sandbox: a compiler."""

    argv: tuple[str, ...]
    limits: Limits = Limits()
    accepts: tuple[int, ...] = (0,)  # return codes with which the job goes on
    removes: tuple[str, ...] = ()  # files that are taken away before it does, such as the source


@dataclass(frozen=True)
class Job:
    """One program, started in a folder of its own that holds `files` and where it may write.

    The program's own folder is `JOB_FOLDER` where the sandbox has a root folder of its own: name files
    relative to it. argv[0] is looked up on PATH, which is /usr/local/bin:/usr/bin:/bin.
    """

    argv: tuple[str, ...]
    files: Mapping[str, bytes | str] = field(default_factory=dict)  # by path relative to the folder
    limits: Limits = Limits()
    binds: tuple[Bind, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)  # added to PATH, HOME, TMPDIR, LANG
    compile: Step | None = None
    disk_bytes: int = 128 << 20  # all that the job's folder can hold
    descriptors: tuple[int, ...] = ()  # open files of this process that the program gets, by number


@dataclass(frozen=True)
class ProcessResult:
    """How a job ended.

    status: "ok" (return code 0), "exit" (another), "signal", or which limit ended it. A sandbox that fails
    itself is no outcome but a SandboxError.
    """

    status: Status
    return_code: int | None  # None where a limit ended it; 128 + N where signal N did
    stdout: bytes  # of the step in which it ended
    stderr: bytes
    wall_seconds: float  # of that step
    rss_bytes: int  # largest seen, of all processes together; 0 for one too short to be seen
    stage: Literal["compile", "run"] = "run"  # the step in which it ended
    compile_seconds: float = 0.0  # wall clock

    @property
    def compiled(self) -> bool:
        """Whether the program itself was run."""
        return self.stage == "run"
