"""Processes of a job: process tree, resident memory, and killing them all."""

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.core.exceptions import SandboxError

_LAST_SECONDS = 30.0
_SWEEPING_SECONDS = 5.0
_BETWEEN_SWEEPS = 0.002
_PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(root: int) -> Iterator[int]:
    """Process IDs of `root` and its current descendants, parents first."""
    if not Path("/proc/self/task").is_dir():
        yield from _tree_elsewhere(root)
        return
    waiting = [root]
    while waiting:
        process = waiting.pop()
        yield process
        waiting += children(process)


def resident_bytes(root: int) -> int:
    """Resident memory of `root` and its descendants in bytes; shared pages count once for each process."""
    if not Path("/proc/self/statm").exists():
        return _resident_elsewhere(root)
    return sum(map(_resident, tree(root)))


def of_this_user() -> int:
    """Number of this user's threads on this machine; the kernel counts each as a process."""
    import psutil

    total = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            total += process.num_threads() if process.uids().real == os.getuid() else 0
    return total


def end(process: subprocess.Popen[bytes], held: Sequence[int]) -> None:
    """Kill the process, its descendants and its session, and wait until they are gone.

    Args:
        held: file descriptors (pidfd) of processes that may briefly outlive it: the first process of a PID
            namespace only ends when all others in it have ended.

    Raises:
        SandboxError: some processes do not end.

    Descendants are killed first, repeatedly until there are none: as long as the process runs, it may adopt
    orphaned descendants (`landlock_inside`).
    """
    deadline = time.monotonic() + _SWEEPING_SECONDS
    while (found := [pid for pid in tree(process.pid) if pid != process.pid]) and time.monotonic() < deadline:
        for descendant in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(descendant, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_BETWEEN_SWEEPS)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    for descriptor in held:
        if not select.select([descriptor], [], [], _LAST_SECONDS)[0]:
            raise SandboxError(
                "the processes of a sandbox did not end when they were killed",
                remedy="look for processes in state D; restart the machine if they stay",
            )


def children(process: int) -> list[int]:
    """Process IDs of the current children of a process."""
    found: list[int] = []
    with contextlib.suppress(OSError, ValueError):  # it may end at any moment
        for thread in os.listdir(f"/proc/{process}/task"):  # noqa: PTH208 - twenty times a second
            with open(f"/proc/{process}/task/{thread}/children") as file:  # noqa: PTH123
                found += map(int, file.read().split())
    return found


def _resident(process: int) -> int:
    try:
        with open(f"/proc/{process}/statm") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


def _tree_elsewhere(root: int) -> Iterator[int]:
    import psutil

    with contextlib.suppress(psutil.Error):
        yield root
        yield from (child.pid for child in psutil.Process(root).children(recursive=True))


def _resident_elsewhere(root: int) -> int:
    import psutil

    total = 0
    for process in tree(root):
        with contextlib.suppress(psutil.Error):
            total += psutil.Process(process).memory_info().rss
    return total
