"""The processes of a job as the system shows them: how much memory they hold, and their end."""

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
    """`root` and its descendants that are there now, parents first."""
    if not Path("/proc/self/task").is_dir():
        yield from _tree_elsewhere(root)
        return
    waiting = [root]
    while waiting:
        process = waiting.pop()
        yield process
        waiting += children(process)


def resident_bytes(root: int) -> int:
    """Resident memory of `root` and its descendants; pages that several of them map count for each."""
    if not Path("/proc/self/statm").exists():
        return _resident_elsewhere(root)
    return sum(map(_resident, tree(root)))


def of_this_user() -> int:
    """How many threads this user has on this machine, which the kernel counts as processes."""
    import psutil

    total = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            total += process.num_threads() if process.uids().real == os.getuid() else 0
    return total


def end(process: subprocess.Popen[bytes], held: Sequence[int]) -> None:
    """Kill the process, its descendants and its session, and wait until they are gone.

    Args:
        held: descriptors (pidfd) of processes that outlive it for a moment: the first of a process namespace
            is gone when all others in it are.

    Raises:
        SandboxError: they do not go.

    Descendants first, and again until there are none: while it lives, those that lose their parent may
    become its own (`landlock_inside`).
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
    """Those of one process that are there now."""
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
