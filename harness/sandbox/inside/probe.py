"""A probe program that tries to escape from its sandbox and prints a line for each attempt that succeeds.

`backends.selection` runs it as the first job. Arguments: process ID and loopback port of the harness, name of
its abstract Unix socket, and a folder of the harness that all users may read and write.
"""

import os
import socket
import sys
from collections.abc import Iterator

HOLDS = "holds"
# Inheritable capabilities only matter with file capabilities, which NoNewPrivs disables.
_CAPABILITIES = ("CapEff", "CapPrm", "CapAmb")
_KNOWN = {"PATH", "HOME", "TMPDIR", "LANG", "PWD", "LC_CTYPE"}  # Python sets LC_CTYPE itself
_SECONDS = 1.0


def findings(process: int, port: int, name: str, folder: str) -> Iterator[str]:
    """Descriptions of the attempts that succeeded."""
    yield from _rights()
    if found := sorted(set(os.environ) - _KNOWN):
        yield f"the environment has {', '.join(found)}"
    if _connects(socket.AF_INET, ("127.0.0.1", port)) or _connects(socket.AF_UNIX, f"\0{name}"):
        yield "the machine's sockets can be reached"
    if _opens(f"{folder}/secret", os.O_RDONLY):
        yield "files of this machine can be read"
    if any(_opens(f"{place}/fusegauge", os.O_CREAT | os.O_WRONLY) for place in (folder, "/usr", "/etc", "/")):
        yield "files can be written outside the job's folder"
    if _changes(f"{folder}/secret"):
        yield "modes of this machine's files can be changed"
    own = {1, os.getpid(), os.getppid()}
    if _others() - own or (process not in own and _signals(process)):
        yield "other processes can be seen"


def _rights() -> Iterator[str]:
    if os.getuid() == 0:
        yield "it runs as root"
    with open("/proc/self/status") as file:  # noqa: PTH123
        own = dict(line.split(":", 1) for line in file)
    if any(int(own[name], 16) for name in _CAPABILITIES):
        yield "it has capabilities"
    if own["NoNewPrivs"].strip() != "1":
        yield "it can gain privileges"
    if own["Seccomp"].strip() != "2":
        yield "no system call is filtered"


def _connects(family: int, address: tuple[str, int] | str) -> bool:
    try:
        with socket.socket(family) as attempt:
            attempt.settimeout(_SECONDS)
            attempt.connect(address)
            return True
    except OSError:
        return False


def _opens(path: str, flags: int) -> bool:
    try:
        os.close(os.open(path, flags))
        return True
    except OSError:
        return False


def _changes(path: str) -> bool:
    try:
        os.chmod(path, 0o777)  # noqa: PTH101
        return True
    except OSError:
        return False


def _others() -> set[int]:
    try:
        return {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208
    except OSError:
        return set()


def _signals(process: int) -> bool:
    try:
        os.kill(process, 0)
        return True
    except OSError:
        return False


if __name__ == "__main__":
    found = list(findings(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]))
    print("\n".join(found) or HOLDS)
