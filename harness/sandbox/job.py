"""Jobs, resource limits and process results: plain data, the same for every language and backend."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

JOB_FOLDER = "/job"  # folder of the program's files in a sandbox with its own root folder

Status = Literal["ok", "exit", "signal", "timeout", "memory", "output", "disk"]


@dataclass(frozen=True)
class Limits:
    """Resource limits for one step of a job."""

    cpu_seconds: int = 10  # per process
    wall_seconds: float = 10.0
    memory_bytes: int = 1 << 30  # resident memory of all its processes together
    address_space: bool = True  # memory_bytes limits it too; not for JVM, V8, Go
    processes: int = 32  # at the same time, including threads
    open_files: int = 256  # per process
    file_bytes: int = 64 << 20  # per file
    output_bytes: int = 64 << 10  # kept of each of stdout and stderr: beginning and end
    flood_bytes: int = 16 << 20  # total output at which the program is killed


@dataclass(frozen=True)
class Bind:
    """A file or folder of this machine that the program may read, at path `target` (default: the same)."""

    source: Path
    target: str = ""

    @property
    def place(self) -> str:
        return self.target or str(self.source)


@dataclass(frozen=True)
class Step:
    """A program that runs before the job's main program in the same sandbox: a compiler."""

    argv: tuple[str, ...]
    limits: Limits = Limits()
    accepts: tuple[int, ...] = (0,)  # return codes after which the job continues
    removes: tuple[str, ...] = ()  # files to delete before it continues, such as the source


@dataclass(frozen=True)
class Job:
    """One program, started in its own writable folder that contains `files`.

    The folder is `JOB_FOLDER` only in a sandbox with its own root folder, so use file names relative to it.
    argv[0] is looked up on PATH, which is /usr/local/bin:/usr/bin:/bin.
    """

    argv: tuple[str, ...]
    files: Mapping[str, bytes | str] = field(default_factory=dict)  # by relative path
    limits: Limits = Limits()
    binds: tuple[Bind, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)  # added to PATH, HOME, TMPDIR, LANG
    compile: Step | None = None
    disk_bytes: int = 128 << 20  # size of the job's folder
    descriptors: tuple[int, ...] = ()  # open file descriptors of this process that the program inherits


@dataclass(frozen=True)
class ProcessResult:
    """How a job ended.

    status: "ok" (return code 0), "exit" (another code), "signal" (killed by a signal), or the limit that was
        exceeded. A failure of the sandbox itself is not a status but a SandboxError.
    """

    status: Status
    return_code: int | None  # None if a limit was exceeded; 128 + N if killed by signal N
    stdout: bytes  # of the last step that ran
    stderr: bytes
    wall_seconds: float  # of that step
    rss_bytes: int  # largest total measured; 0 if the job was too short to measure
    stage: Literal["compile", "run"] = "run"  # the last step that ran
    compile_seconds: float = 0.0  # wall clock

    @property
    def compiled(self) -> bool:
        """Whether the program itself was run."""
        return self.stage == "run"
