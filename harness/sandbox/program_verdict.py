"""What is said of a program, whatever its language."""

from dataclasses import dataclass
from enum import StrEnum

from harness.sandbox.job import Status

VERSION = 1  # counts up when the same program could get another verdict


class Ruling(StrEnum):
    PASSED = "passed"  # came to its end, tests held
    FAILED = "failed"  # a test did not hold
    TIMEOUT = "timeout"
    MEMORY = "memory"
    OUTPUT = "output"  # wrote more than is allowed, to its streams or its folder
    ERROR = "error"  # raised, did not compile, exited early, was killed


@dataclass(frozen=True)
class ProgramVerdict:
    """One program, judged; `detail` is the end of what it and its tests wrote."""

    ruling: Ruling
    detail: str = ""
    seconds: float = 0.0  # wall clock of the program
    compiled: bool = True  # False: it did not even compile

    @property
    def passed(self) -> bool:
        return self.ruling is Ruling.PASSED


LIMIT_RULINGS: dict[Status, Ruling] = {
    "timeout": Ruling.TIMEOUT,
    "memory": Ruling.MEMORY,
    "output": Ruling.OUTPUT,
    "disk": Ruling.OUTPUT,
}
