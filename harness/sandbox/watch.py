"""Monitoring of a running job: reads its output, measures time and memory, and enforces limits."""

import os
import selectors
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import IO, Literal, Self

from harness.sandbox.inside.first import COMPILED, STARTED
from harness.sandbox.job import Job, Limits, Status
from harness.sandbox.processes import children, end, resident_bytes

START_SECONDS = 60.0  # for a sandbox to start on a busy machine
_GLANCE = 0.05  # seconds between two measurements of memory
_ROUND = 0.02  # seconds between two checks for its end, on systems without pidfd


class Watch:
    """Monitor of one job from start to end. Use as a context manager."""

    def __init__(
        self,
        job: Job,
        process: subprocess.Popen[bytes],
        status: IO[bytes],
        answer: IO[bytes],
        disk_used: Callable[[], int],
    ) -> None:
        assert process.stdout is not None and process.stderr is not None
        self.stage: Literal["compile", "run"] | None = None  # None: the sandbox is not ready yet
        self.ended_by: Status | None = None  # the limit that was exceeded
        self.peak_bytes = 0
        self.compile_seconds = self.seconds = 0.0  # wall-clock times of the compiler and the last step
        self.stdout = Stream(process.stdout, job.limits.output_bytes)
        self.stderr = Stream(process.stderr, job.limits.output_bytes)
        self._job, self._process, self._status, self._answer = job, process, status, answer
        self._disk_used = disk_used
        self._selector = selectors.DefaultSelector()
        self._step_began = time.monotonic()
        self._next_glance = self._step_began + _GLANCE / 5
        self._stack = ExitStack()
        self._held: list[int] = []

    def __enter__(self) -> Self:
        for file in (self.stdout.source, self.stderr.source, self._selector):
            self._stack.callback(file.close)
        for stream in (self.stdout, self.stderr):
            self._selector.register(stream.source, selectors.EVENT_READ, stream.read)
        os.set_blocking(self._status.fileno(), False)
        self._selector.register(self._status, selectors.EVENT_READ, self._hear)
        if hasattr(os, "pidfd_open"):
            ended = os.pidfd_open(self._process.pid)
            self._stack.callback(os.close, ended)
            self._selector.register(ended, selectors.EVENT_READ, lambda: False)
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            end(self._process, self._held)

    @property
    def running(self) -> bool:
        """Whether the job has not ended and has not exceeded a limit."""
        return self._process.poll() is None and self.ended_by is None

    def fileno(self) -> int:
        """File descriptor that is readable when `attend` has something to do."""
        return self._selector.fileno()

    def patience(self) -> float:
        """Seconds until `attend` must be called even if `fileno` is not readable."""
        until_glance = self._next_glance - time.monotonic()
        longest = _GLANCE if hasattr(os, "pidfd_open") else _ROUND
        return max(0.0, min(self._left, until_glance, longest))

    def attend(self) -> None:
        """Read available output and check the job's limits."""
        for key, _ in self._selector.select(0):
            if not key.data():
                self._selector.unregister(key.fileobj)
        self._look()

    def finish(self) -> None:
        """Read the output that is left in the pipes after the job's end."""
        self.seconds = time.monotonic() - self._step_began
        if self.ended_by is None and self._process.poll() is not None:
            for stream in (self.stdout, self.stderr):
                stream.drain(self._limits.flood_bytes)
            self._hear()

    @property
    def return_code(self) -> int:
        code = self._process.returncode
        assert code is not None, "the job has not ended yet"
        return code

    @property
    def _limits(self) -> Limits:
        step = self._job.compile if self.stage == "compile" else self._job
        assert step is not None
        return step.limits

    @property
    def _left(self) -> float:
        allowed = START_SECONDS if self.stage is None else self._limits.wall_seconds
        return self._step_began + allowed - time.monotonic()

    def _look(self) -> None:
        if self.stdout.total + self.stderr.total > self._limits.flood_bytes:
            self.ended_by = "output"
        elif self._left <= 0:
            self.ended_by = "timeout"
        elif time.monotonic() >= self._next_glance:
            self._next_glance = time.monotonic() + _GLANCE
            self._glance()

    def _glance(self) -> None:
        now = resident_bytes(self._process.pid)
        self.peak_bytes = max(self.peak_bytes, now)
        if now > self._limits.memory_bytes:
            self.ended_by = "memory"
        elif self._disk_used() > self._job.disk_bytes:
            self.ended_by = "disk"

    def _hear(self) -> bool:
        """Handle a status byte of the first program; False at the end of its messages."""
        word = self._status.read(1)
        if word == STARTED:
            self._hold()
            self._begin("compile" if self._job.compile else "run")
        elif word == COMPILED:
            self.compile_seconds = time.monotonic() - self._step_began
            for stream in (self.stdout, self.stderr):
                stream.drain(self._limits.flood_bytes)
                stream.restart()
            self._begin("run")
        return bool(word)

    def _begin(self, stage: Literal["compile", "run"]) -> None:
        self.stage = stage
        self._step_began = time.monotonic()
        with suppress(BrokenPipeError):  # killed while it waited; handled as its end
            self._answer.write(b"g")

    def _hold(self) -> None:
        """Open pidfds of the sandbox's own processes, so that their end can be waited for."""
        if hasattr(os, "pidfd_open"):
            for process in children(self._process.pid):
                held = os.pidfd_open(process)
                self._stack.callback(os.close, held)
                self._held.append(held)


def follow(*watches: Watch, until: Callable[[], bool]) -> None:
    """Monitor running jobs until `until()` is true."""
    with selectors.DefaultSelector() as ready:
        for watch in watches:
            ready.register(watch, selectors.EVENT_READ)
        while not until():
            ready.select(min(watch.patience() for watch in watches))
            for watch in watches:
                if watch.running:
                    watch.attend()


_PART = 1 << 16


class Stream:
    """Beginning and end of a program's stdout or stderr, and its total size."""

    def __init__(self, source: IO[bytes], keep: int) -> None:
        self.source = source
        self._half = keep // 2
        self.restart()
        os.set_blocking(source.fileno(), False)

    def restart(self) -> None:
        """Discard what was read so far."""
        self._head, self._tail, self.total = bytearray(), bytearray(), 0

    def read(self) -> bool:
        """Read one chunk of the available output; False at the end of the stream."""
        try:
            part = os.read(self.source.fileno(), _PART)
        except BlockingIOError:
            return True
        self.total += len(part)
        room = self._half - len(self._head)
        self._head += part[:room]
        self._tail += part[room:]
        del self._tail[: max(0, len(self._tail) - self._half)]
        return bool(part)

    def drain(self, most: int) -> None:
        """Read all available output, up to a total of about `most` bytes."""
        before = -1
        while before < self.total <= most:
            before = self.total
            self.read()

    @property
    def kept(self) -> bytes:
        return bytes(self._head + self._tail)
