"""The verdict on a program, for every language."""

from dataclasses import dataclass
from enum import StrEnum

from harness.sandbox.job import Status

VERSION = 1  # increase it when the same program could get a different verdict


class Ruling(StrEnum):
    PASSED = "passed"  # ran to its end and all tests passed
    FAILED = "failed"  # a test failed
    TIMEOUT = "timeout"
    MEMORY = "memory"
    OUTPUT = "output"  # wrote too much to stdout, stderr or its folder
    ERROR = "error"  # raised an exception, did not compile, exited early or was killed


@dataclass(frozen=True)
class ProgramVerdict:
    """The verdict on one program; `detail` is the end of its output and of its tests' output."""

    ruling: Ruling
    detail: str = ""
    seconds: float = 0.0  # wall-clock time of the program
    compiled: bool = True  # False: it did not compile

    @property
    def passed(self) -> bool:
        return self.ruling is Ruling.PASSED


LIMIT_RULINGS: dict[Status, Ruling] = {
    "timeout": Ruling.TIMEOUT,
    "memory": Ruling.MEMORY,
    "output": Ruling.OUTPUT,
    "disk": Ruling.OUTPUT,
}
