"""Unprivileged user IDs for jobs when FuseGauge runs as root.

Each running job gets a different one: the kernel limits the number of processes per user, and users cannot
access each other's processes. A user ID is reserved by binding an abstract Unix socket with its number, so
that no two processes on the machine use the same one and the kernel frees it even if this process crashes.
"""

import os
import pwd
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from harness.core.exceptions import SandboxError

SPARE = range(60578, 61184)  # a range that systemd's user ID allocation leaves unused


@contextmanager
def spare_user() -> Iterator[int]:
    """Reserve a user ID that is not in use; -1 if this process is not root or the system is not Linux.

    Raises:
        SandboxError: all user IDs of the range are taken.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        yield -1
        return
    with socket.socket(socket.AF_UNIX) as claim:
        yield next(uid for uid in _unused() if _claimed(claim, uid))


def _unused() -> Iterator[int]:
    known = {entry.pw_uid for entry in pwd.getpwall()}
    yield from (uid for uid in SPARE if uid not in known)
    raise SandboxError(
        f"all spare users ({SPARE.start} to {SPARE.stop - 1}) are taken",
        remedy="end runs that hang, and run again",
    )


def _claimed(claim: socket.socket, uid: int) -> bool:
    with suppress(OSError):
        claim.bind(f"\0fusegauge-user-{uid}")
        return True
    return False
