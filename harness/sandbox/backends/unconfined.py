"""No sandbox: a process with resource limits that runs as this user. Only on the user's request.

It has limits on CPU time, wall clock, address space, file size and open files, no core dumps, an empty
environment, no stdin, a temporary folder that is removed, and a session that is killed as a whole. It has no
isolation: the program can reach this user's files, network and processes, and a process that leaves the
session (`setsid`) and its parent may keep running after the verdict.
"""

import os
from collections.abc import Sequence

from harness.core.exceptions import InputError
from harness.sandbox.backends.base import Backend, Launch, bytes_in, environment, folder_for
from harness.sandbox.job import Job


class Unconfined(Backend):
    """Resource limits without isolation."""

    name = "subprocess"
    mode = "subprocess"
    counts_processes = False

    def launch(self, job: Job, uid: int, inside: Sequence[str], passed: Sequence[int]) -> Launch:
        """As `Backend.launch`. Raises InputError on systems that cannot limit processes (not POSIX)."""
        del uid, passed
        if os.name != "posix":
            raise InputError(
                "programs can only be run with limits on Linux and macOS",
                remedy="score code benchmarks there, or leave out --unsafe-no-sandbox",
            )
        folder, clean = folder_for(job)
        return Launch(
            inside,
            str(folder),
            environment=environment(job, str(folder)),
            clean=clean,
            disk_used=lambda: bytes_in(folder),
        )
