"""No sandbox: a process with limits, which runs as this user. Only where the user asked for it.

What this gives: CPU time, wall clock, address space, file size, open files, no core dump, an empty
environment, closed stdin, a folder of its own that is removed, a session that is killed whole. What it does
not give: isolation. The program has this user's files, network and processes, and one that leaves the session
(`setsid`) and its parent may outlive the verdict.
"""

import os
from collections.abc import Sequence

from harness.core.exceptions import InputError
from harness.sandbox.backends.base import Backend, Launch, bytes_in, environment, folder_for
from harness.sandbox.job import Job


class Unconfined(Backend):
    """Limits, not isolation."""

    name = "subprocess"
    mode = "subprocess"
    counts_processes = False

    def launch(self, job: Job, uid: int, inside: Sequence[str], passed: Sequence[int]) -> Launch:
        """As `Backend.launch`. Raises InputError where processes cannot be limited (not POSIX)."""
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
