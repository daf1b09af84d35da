"""What an attack is: a program that is wrong and wants to pass, wants out, or wants to take the machine down.

Plain data without pytest, so that another user with another Python can try it too (`as_user`).
"""

from dataclasses import dataclass
from typing import Literal

from harness.sandbox.backends.base import interpreter
from harness.sandbox.inside.first import BARE
from harness.sandbox.job import Job, Limits
from harness.sandbox.python_program import PythonProgram

Kind = Literal["verdict", "escape", "exhaustion"]
QUICK = Limits(cpu_seconds=1, wall_seconds=2.0, memory_bytes=256 << 20, processes=24, file_bytes=4 << 20)
DISK_BYTES = 16 << 20


@dataclass(frozen=True)
class Attack:
    """One program; `language` as a person says it."""

    name: str
    language: str
    kind: Kind
    program: PythonProgram | Job
    ends: tuple[str, ...] = ()  # how an exhaustion may end; () where it does not matter
    needs: str = ""  # the program without which it cannot be tried


def script(name: str, kind: Kind, source: str, *ends: str) -> Attack:
    """A Python script that is run by itself."""
    job = Job((interpreter(), *BARE, "attack.py"), {"attack.py": source}, QUICK, disk_bytes=DISK_BYTES)
    return Attack(name, "Python", kind, job, ends)
