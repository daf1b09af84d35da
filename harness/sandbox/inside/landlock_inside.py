"""Supervisor of the reduced sandbox: confines a job by Landlock and seccomp and kills leftover processes.

Executed as a script by a bare interpreter. Arguments: the file descriptor of a file with, marshalled, the
user ID (-1: no change), the job's folder, the readable paths and the seccomp filter; then the command.

The parent process stays outside the Landlock domain, adopts orphans (PR_SET_CHILD_SUBREAPER) and kills them
when the command has ended. Numbers and layouts: linux/landlock.h, linux/prctl.h, landlock(7).
"""

import ctypes
import marshal
import os
import struct
import sys
from collections.abc import Sequence

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # system calls, on every architecture
_VERSION, _PATH_BENEATH = 1, 1
_SET_PDEATHSIG, _SET_SECCOMP, _SET_SUBREAPER, _SET_NO_NEW_PRIVS = 1, 22, 36, 38
_FILTER = 2  # SECCOMP_MODE_FILTER
_SIGKILL = 9
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # number of file rights in each version; 16 in later ones
_READ = 1 << 0 | 1 << 2 | 1 << 3  # execute, read files, read folders
_FILE_RIGHTS = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14  # those that a rule for a file may contain
_SPECIAL = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11  # create devices, sockets, named pipes
_NEEDED = 3  # older versions cannot forbid truncating files
_WRITE_FILE, _READ_FILE = 1 << 1, 1 << 2

_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """The kernel's Landlock version; 0 without Landlock."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)))


def confine(folder: str, readable: Sequence[str], rules: bytes) -> None:
    """Allow only reading `readable`, writing to `folder`, and the system calls that `rules` allows.

    Raises:
        OSError: the kernel does not support this.
    """
    known = version()
    if known < _NEEDED:
        raise OSError(f"Landlock's version here is {known}, {_NEEDED} is needed (Linux 6.2)")
    every = (1 << _RIGHTS.get(known, 16)) - 1
    handled = struct.pack("QQQ", every, 3 if known >= 4 else 0, 3 if known >= 6 else 0)
    size = 24 if known >= 6 else 16 if known >= 4 else 8
    ruleset = _call(_libc.syscall(_CREATE_RULESET, handled, ctypes.c_size_t(size), 0))
    for path in (*readable, f"/proc/{os.getpid()}"):
        _allow(ruleset, path, _READ, every)
    _allow(ruleset, folder, every & ~_SPECIAL, every)
    _allow(ruleset, "/dev/null", _READ_FILE | _WRITE_FILE, every)
    for device in ("/dev/zero", "/dev/urandom", "/dev/random"):
        _allow(ruleset, device, _READ_FILE, every)
    _call(_libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _call(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)
    _filter(rules)


def _allow(ruleset: int, path: str, rights: int, every: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # not on this machine
        return
    allowed = rights & every if os.path.isdir(path) else rights & every & _FILE_RIGHTS  # noqa: PTH112
    _call(_libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=QI", allowed, place), 0))
    os.close(place)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def _filter(rules: bytes) -> None:
    held = ctypes.create_string_buffer(rules, len(rules))
    program = _Program(len(rules) // 8, ctypes.addressof(held))
    _call(_libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0))


def _call(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _supervise(child: int) -> int:
    """Wait for the command, kill its leftover processes and return its return code, as a shell reports it."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    while left := _children():
        for orphan in left:
            os.kill(orphan, _SIGKILL)
        os.waitpid(-1, 0)
    return code if code >= 0 else 128 - code


def _children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:  # noqa: PTH123
        return [int(word) for word in file.read().split()]


def main() -> None:
    with os.fdopen(int(sys.argv[1]), "rb") as orders:
        uid, folder, readable, rules = marshal.load(orders)
    harness = os.getppid()
    _call(_libc.prctl(_SET_SUBREAPER, 1, 0, 0, 0))
    _call(_libc.prctl(_SET_PDEATHSIG, _SIGKILL, 0, 0, 0))
    if os.getppid() != harness:  # the harness ended before the line above
        os._exit(1)
    if (child := os.fork()) == 0:
        _call(_libc.prctl(_SET_PDEATHSIG, _SIGKILL, 0, 0, 0))
        if uid >= 0:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        confine(folder, readable, rules)
        os.execv(sys.argv[2], sys.argv[2:])
    # Close the command's pipes here, so that their other ends are closed when the command ends.
    os.closerange(3, 1 << 16)
    os._exit(_supervise(child))


if __name__ == "__main__":
    main()
