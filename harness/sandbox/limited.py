"""One program, one fresh process, bounded resources, one verdict.

What this gives: CPU time, and a wall clock of several times that (a loaded machine does not fail a right
program); address space, file size, open files, no core dump, no process or thread of its own (unless run by
root), an own session that is killed whole, an empty environment, closed stdin, an own working directory that
is removed. At most as many programs run at once as there are cores.

What it does not give: isolation. The program runs as this user with this user's files and network. Run by
root it can start processes, each with CPU time of its own, and one that leaves the session (`setsid`)
outlives the verdict.
"""

import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import BoundedSemaphore

from harness.errors import InputError
from harness.sandbox import driver

_DRIVER = str(Path(driver.__file__).resolve())
_SLOTS = BoundedSemaphore(os.cpu_count() or 1)  # programs at once, whoever asks for them
_HALF = 16  # hexadecimal digits in each half of the proof


@dataclass(frozen=True)
class Limits:
    """Bounds for one program."""

    cpu_seconds: int = 3  # what a program is judged by
    seconds: float = 12.0  # wall clock: for one that sleeps, or waits for something
    memory_bytes: int = 1 << 30  # address space
    file_bytes: int = 8 << 20  # largest file, and all that is kept of the output
    open_files: int = 64
    processes: int = 1  # of this user, with threads: the program cannot start another (root can)
    detail_bytes: int = 2000  # of the output's end, kept in the outcome

    def in_order(self) -> list[str]:
        """Values in the order of `driver.LIMITS`."""
        sizes = (self.cpu_seconds, self.memory_bytes, self.file_bytes, self.open_files, 0, self.processes)
        return [str(size) for size in sizes]


class Status(StrEnum):
    PASSED = "passed"  # came to its end, tests held
    FAILED = "failed"  # a test did not hold
    TIMEOUT = "timeout"
    MEMORY = "memory"
    ERROR = "error"  # raised, did not parse, exited early, was killed


@dataclass(frozen=True)
class Outcome:
    """What became of one program; `output` is the end of what it wrote."""

    status: Status
    output: str
    seconds: float

    @property
    def passed(self) -> bool:
        return self.status is Status.PASSED


def run_program(source: str, *, limits: Limits | None = None) -> Outcome:
    """Run a Python program (standard library only) in its own process and judge it.

    It passes when it reaches its end: exit code 0 and the proof, which only the driver can put together and
    only after the program has returned. Exiting early, however successfully, is not a pass.

    Raises:
        InputError: the machine cannot limit processes (not POSIX).
    """
    if os.name != "posix":
        raise InputError(
            "programs can only be run with limits on Linux and macOS",
            remedy="score code benchmarks there, or leave out --unsafe-no-sandbox",
        )
    limits = limits or Limits()
    folder = Path(tempfile.mkdtemp(prefix="program-"))
    try:
        (folder / "program.py").write_text(source, encoding="utf-8", errors="replace")
        with _SLOTS:
            return _run_in(folder, limits)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_programs(sources: Sequence[str], *, limits: Limits | None = None) -> list[Outcome]:
    """Several programs, as many at a time as there are cores; outcomes in the order of `sources`."""
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return list(pool.map(lambda source: run_program(source, limits=limits), sources))


def _run_in(folder: Path, limits: Limits) -> Outcome:
    first, second = secrets.token_hex(_HALF // 2), secrets.token_hex(_HALF // 2)
    proof_read, proof_write = os.pipe()
    answer_read, answer_write = os.pipe()
    started = time.monotonic()
    try:
        os.write(proof_write, first.encode())
        with (folder / ".output").open("wb") as output:
            process = _start(folder, (proof_read, answer_write), second, limits, output.fileno())
        os.close(answer_write)
        answer_write = -1  # only the child holds it now: its end shows as end of file
        answer, in_time = _await(process, answer_read, started + limits.seconds)
    finally:
        for descriptor in (proof_read, proof_write, answer_read, answer_write):
            if descriptor >= 0:
                os.close(descriptor)
    seconds = time.monotonic() - started
    status = _judge(process.returncode, answer == (first + second).encode(), in_time)
    return Outcome(status, _tail(folder / ".output", limits.detail_bytes), seconds)


def _start(
    folder: Path, descriptors: tuple[int, int], second: str, limits: Limits, output: int
) -> subprocess.Popen[bytes]:
    # Limits are set by the driver, not by preexec_fn: that would fork this whole process, with torch in it.
    return subprocess.Popen(
        [sys.executable, "-I", "-S", _DRIVER, *map(str, descriptors), second, *limits.in_order()],
        cwd=folder,
        env={},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=descriptors,
        start_new_session=True,
    )


def _await(process: subprocess.Popen[bytes], answer_read: int, deadline: float) -> tuple[bytes, bool]:
    """The answer and whether the process ended in time; afterwards its whole session is dead."""
    answer = b""
    try:
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([answer_read], [], [], left)[0]:
                break
            if not (part := os.read(answer_read, 4 * _HALF)):
                process.wait(timeout=max(0.0, deadline - time.monotonic()))
                return answer, True
            answer += part
            if len(answer) > 2 * _HALF:
                break
        return answer, False
    except subprocess.TimeoutExpired:
        return answer, False
    finally:
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and whatever it started in its session."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
    process.wait()


def _judge(code: int | None, proven: bool, in_time: bool) -> Status:
    if not in_time or code == -signal.SIGXCPU:
        return Status.TIMEOUT
    if code == 0 and proven:
        return Status.PASSED
    return {driver.FAILED: Status.FAILED, driver.MEMORY: Status.MEMORY}.get(code or 0, Status.ERROR)


def _tail(path: Path, size: int) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        return file.read().decode("utf-8", errors="replace")
