"""Users that own nothing, for the jobs of a process that is root's.

One per job that runs at a time: the kernel counts processes by user, and users cannot touch each other's. A
number is taken by binding a socket name that says it, so that several processes on a machine do not share one
and the system gives it back whatever happens to this process.
"""

import os
import pwd
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from harness.core.exceptions import SandboxError

SPARE = range(60578, 61184)  # no user here: systemd's own allocation leaves them free


@contextmanager
def spare_user() -> Iterator[int]:
    """A user number that nobody else has now; -1 where this process is not root's, or there are no sandboxes.

    Raises:
        SandboxError: every number is taken.
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
