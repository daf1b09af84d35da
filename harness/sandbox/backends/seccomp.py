"""The seccomp filter: forbidden system calls as a BPF program for the kernel.

Namespaces and Landlock already confine a job. The filter also blocks the parts of the kernel in which most
sandbox escapes have been found and which no benchmark program needs. A call that uses another architecture's
numbering kills the program, because the same number means a different call there.

Layout of a BPF instruction and of the data it reads: linux/filter.h, linux/seccomp.h, seccomp(2).
"""

import errno
import platform
import struct
from collections.abc import Sequence

# Numbers by architecture: arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h.
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CALLS: dict[str, tuple[int, int]] = {  # x86_64, aarch64
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "perf_event_open": (298, 241),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    # memory that no process has mapped: it would not count as resident memory
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
}
_CHANGES_BY_PATH: dict[str, tuple[int, int]] = {  # change mode, owner or times; -1: not on this architecture
    "chmod": (90, -1),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, -1),
    "lchown": (94, -1),
    "fchownat": (260, 54),
    "utime": (132, -1),
    "utimes": (235, -1),
    "futimesat": (261, -1),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "removexattrat": (466, 466),
}
_CLONE, _CLONE3, _SOCKET = (56, 220), (435, 435), (41, 198)
_X32 = 0x40000000  # on x86_64, numbers from here on belong to the x32 ABI
_NEW_NAMESPACE = 0x7E020000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in seccomp_data; low 32 bits of the argument
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def filter_program(*, sockets: bool, modes: bool = True) -> bytes:
    """Build the seccomp filter for this machine's architecture.

    Args:
        sockets: whether to allow internet and Unix sockets (harmless in a separate network namespace, where
            they reach nothing); other socket families are never allowed.
        modes: whether to allow changing a file's mode, owner or times by its path; Landlock does not
            restrict this for any file.

    Raises:
        KeyError: the system call numbers of this architecture are not known.
    """
    architecture = _AUDIT_ARCH[platform.machine()]
    calls = [*_CALLS.values(), *(() if modes else _CHANGES_BY_PATH.values())]
    lines = _instructions(architecture, list(_AUDIT_ARCH).index(platform.machine()), calls, sockets)
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def _instructions(
    architecture: int, which: int, calls: Sequence[tuple[int, int]], sockets: bool
) -> list[Instruction]:
    families = (_AF_UNIX, _AF_INET, _AF_INET6) if sockets else ()
    return [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        *([(_JUMP_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _KILL)] if which == 0 else []),
        *(line for call in calls if call[which] >= 0 for line in _denied(call[which], errno.EPERM)),
        *_denied(_CLONE3[which], errno.ENOSYS),  # its flags are unreadable here; libraries use clone
        *_namespaces_denied(_CLONE[which]),
        *_families(_SOCKET[which], families),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _denied(number: int, error: int) -> list[Instruction]:
    return [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | error)]


def _namespaces_denied(number: int) -> list[Instruction]:
    return [
        (_JUMP_EQUAL, 0, 4, number),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_ANY, 0, 1, _NEW_NAMESPACE),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _families(number: int, allowed: tuple[int, ...]) -> list[Instruction]:
    checks = [(_JUMP_EQUAL, len(allowed) - i, 0, family) for i, family in enumerate(allowed)]
    return [
        (_JUMP_EQUAL, 0, len(allowed) + 3, number),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        *checks,
        (_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT),
        (_RETURN, 0, 0, _ALLOW),
    ]
