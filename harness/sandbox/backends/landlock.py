"""The Landlock backend: a reduced sandbox with Landlock and seccomp only, for machines without namespaces.

It confines less than `bubblewrap`: the job shares the machine's PID namespace (it cannot signal, trace or
read other processes), its folder is on this machine's disk (its size is measured periodically, not limited),
and it can see the names of files. Unless FuseGauge runs as root, it cannot change a file's mode by its path.
Results from this sandbox are marked "reduced".
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
    """A process for each job that permanently gives up access to files, sockets and system calls."""

    name = "Landlock and seccomp"
    mode = "reduced"
    counts_processes = hasattr(os, "geteuid") and os.geteuid() == 0  # as root, each job has its own user ID

    @property
    def shown(self) -> str:
        return f"{self.name} (a reduced sandbox)"

    def launch(self, job: Job, uid: int, inside: Sequence[str], passed: Sequence[int]) -> Launch:
        """As `Backend.launch`. Raises InputError for a bind whose target differs from its source."""
        del passed  # the supervisor inherits them and passes them on
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
