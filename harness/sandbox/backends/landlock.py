"""Jobs confined by Landlock and seccomp alone, where namespaces are refused: a reduced sandbox.

Less than in `bubblewrap`: the job is a process among this machine's others (which it cannot signal, trace or
read), its folder is on this machine's disk (all that is in it is measured now and then, not bounded), it can
see which files there are, and where this process is not root's it may not change a file's mode by its path.
Results that came about so are marked "reduced".
"""

import marshal
import os
from collections.abc import Sequence
from pathlib import Path

from harness.core.exceptions import InputError
from harness.sandbox.backends import seccomp
from harness.sandbox.backends.base import (
    Backend,
    Launch,
    bytes_in,
    environment,
    folder_for,
    in_memory,
    interpreter,
    interpreter_folder,
)
from harness.sandbox.inside.first import BARE
from harness.sandbox.inside.landlock_inside import __file__ as SUPERVISOR
from harness.sandbox.job import Job

_READABLE = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/ld.so.cache")


class Landlock(Backend):
    """One process per job, which gives up files, sockets and system calls for good."""

    name = "Landlock and seccomp"
    mode = "reduced"
    counts_processes = hasattr(os, "geteuid") and os.geteuid() == 0  # by a user of the job's own

    @property
    def shown(self) -> str:
        return f"{self.name} (a reduced sandbox)"

    def launch(self, job: Job, uid: int, inside: Sequence[str], passed: Sequence[int]) -> Launch:
        """As `Backend.launch`. Raises InputError for a bind that is to appear elsewhere than where it is."""
        del passed  # inherited through the supervisor
        folder, clean = folder_for(job)
        if uid >= 0:
            _hand_over(folder, uid)
        rules = seccomp.filter_program(sockets=False, modes=uid >= 0)
        orders = in_memory(marshal.dumps((uid, str(folder), _readable(job, inside), rules)))
        supervised = (interpreter(), *BARE, SUPERVISOR, str(orders), *inside)
        return Launch(
            supervised,
            str(folder),
            environment=environment(job, str(folder)),
            descriptors=[orders],
            clean=clean,
            disk_used=lambda: bytes_in(folder),
        )


def _readable(job: Job, inside: Sequence[str]) -> list[str]:
    for bind in job.binds:
        if bind.place != str(bind.source):
            raise InputError(
                f"{bind.source} cannot appear as {bind.place} in a reduced sandbox",
                remedy="install bubblewrap, or let the program find it where it is",
            )
    script = next(word for word in inside if word.endswith(".py"))
    return [*_READABLE, str(interpreter_folder()), script, *(str(bind.source) for bind in job.binds)]


def _hand_over(folder: Path, uid: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, uid)
