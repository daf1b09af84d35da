"""Execution of a job: starts its sandbox, watches it, and kills all its processes at the end.

The harness itself stops a job that exceeds its wall-clock time, total resident memory, amount of output or
disk space (`watch`). The kernel enforces CPU time, file size, number of processes and the other resource
limits (`inside.first.limit`).
"""

import marshal
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO

from harness.core.exceptions import SandboxError
from harness.sandbox import processes
from harness.sandbox.backends.base import Backend, Launch, in_memory, interpreter
from harness.sandbox.inside.first import BARE, Order
from harness.sandbox.inside.first import __file__ as INSIDE
from harness.sandbox.job import Job, Limits, ProcessResult, Status
from harness.sandbox.watch import Watch, follow

_SIGNALLED = 128  # a shell reports 128 + N for a process killed by signal N
_MESSAGE = 400  # bytes of the sandbox's own error output to show
_REMEDY = "`fusegauge doctor` says which sandboxes work here; finished stages are kept"


def execute(job: Job, backend: Backend, uid: int = -1) -> ProcessResult:
    """Run a job in a fresh sandbox; no process or file of it remains afterwards.

    Args:
        uid: user ID that the job switches to if FuseGauge runs as root; else -1.

    Raises:
        SandboxError: the sandbox could not be set up, or its first program did not start.
    """
    with started(job, backend, uid) as watch:
        follow(watch, until=lambda: not watch.running)
        return result_of(watch, backend)


@contextmanager
def started(job: Job, backend: Backend, uid: int) -> Iterator[Watch]:
    """Start the job; on exit, kill all its processes. Raises SandboxError as `execute` does."""
    with ExitStack() as stack:
        status, status_inside = _pipe(stack)
        answer_inside, answer = _pipe(stack)
        orders = stack.enter_context(os.fdopen(in_memory(b""), "r+b"))
        passed = (*(file.fileno() for file in (orders, status_inside, answer_inside)), *job.descriptors)
        launch = backend.launch(job, uid, [interpreter(), *BARE, INSIDE, str(orders.fileno())], passed)
        stack.callback(launch.clean)
        told = (status_inside.fileno(), answer_inside.fileno(), launch.uid, launch.folder)
        orders.write(marshal.dumps((*told, _orders(job, backend))))
        orders.seek(0)
        process = _spawn(launch, passed)
        watch = stack.enter_context(Watch(job, process, status, answer, launch.disk_used))
        status_inside.close()
        answer_inside.close()
        yield watch


def result_of(watch: Watch, backend: Backend) -> ProcessResult:
    """The result of a job that has ended. Raises SandboxError if it never started."""
    watch.finish()
    if watch.stage is None:
        complaint = watch.stderr.kept[-_MESSAGE:].decode(errors="replace").strip()
        raise SandboxError(
            f"the sandbox ({backend.name}) failed before the program in it started: "
            + (complaint or "it printed no error"),
            remedy=_REMEDY,
        )
    return ProcessResult(
        status=watch.ended_by or _status(watch.return_code),
        return_code=None if watch.ended_by else _as_a_shell(watch.return_code),
        stdout=watch.stdout.kept,
        stderr=watch.stderr.kept,
        wall_seconds=watch.seconds,
        rss_bytes=watch.peak_bytes,
        stage=watch.stage,
        compile_seconds=watch.compile_seconds,
    )


def _pipe(stack: ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    read, write = os.pipe()
    return (
        stack.enter_context(os.fdopen(read, "rb", buffering=0)),
        stack.enter_context(os.fdopen(write, "wb", buffering=0)),
    )


def _spawn(launch: Launch, passed: Sequence[int]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            launch.argv,
            env=dict(launch.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(*passed, *launch.descriptors),
            start_new_session=True,
        )
    except OSError as error:
        raise SandboxError(f"the sandbox does not start: {error}", remedy=_REMEDY) from error
    finally:
        for descriptor in launch.descriptors:
            os.close(descriptor)


def _orders(job: Job, backend: Backend) -> list[Order]:
    """The job's steps in the format of `inside.first`."""
    last: Order = (list(job.argv), _kinds(job.limits, backend), [0], [])
    if (first := job.compile) is None:
        return [last]
    compiling = (list(first.argv), _kinds(first.limits, backend), list(first.accepts), list(first.removes))
    return [compiling, last]


def _kinds(limits: Limits, backend: Backend) -> dict[str, int]:
    memory = "RLIMIT_AS" if limits.address_space else "RLIMIT_DATA"
    # Add this user's other processes if the kernel counts them too; a limit of 1 always forbids a second one.
    others = 0 if backend.counts_processes or limits.processes == 1 else processes.of_this_user()
    return {
        "RLIMIT_NPROC": limits.processes + others,
        "RLIMIT_CPU": limits.cpu_seconds,
        memory: limits.memory_bytes,
        "RLIMIT_FSIZE": limits.file_bytes,
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_CORE": 0,
    }


def _as_a_shell(code: int) -> int:
    return code if code >= 0 else _SIGNALLED - code


def _status(code: int) -> Status:
    number = _as_a_shell(code) - _SIGNALLED
    if number == signal.SIGXCPU:
        return "timeout"
    if number in signal.valid_signals():
        return "signal"
    return "exit" if code else "ok"
