"""Errors for the user: each has a message, a remedy and an exit code.

Exit codes (documented in docs/operations.md):
0 done or no regression, 1 regressed, 2 misuse (a bad suite, option or input), 3 not comparable, 4 incomplete,
5 a stage failed (NaN loss, corrupted store, no space) or an unexpected error,
6 results are complete but could not be sent to MLflow,
7 the sandbox for model-written code failed (nothing of that stage was scored), 130 interrupted.
"""

from collections.abc import Sequence

from fusion.errors import first_line as first_line
from fusion.errors import nearest as nearest
from harness.core.redaction import redact


class FuseGaugeError(Exception):
    """What is wrong, where and why; `remedy` says what to do. Passwords are removed from both."""

    exit_code = 5

    def __init__(self, message: str, *, remedy: str = "") -> None:
        self.message = redact(message)
        self.remedy = redact(remedy)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\n  -> {self.remedy}" if self.remedy else self.message


class SuiteError(FuseGaugeError):
    """A suite file or an override that cannot be used; lists every mistake at once."""

    exit_code = 2

    def __init__(self, where: str, mistakes: Sequence[str]) -> None:
        noun = "mistake" if len(mistakes) == 1 else "mistakes"
        lines = "\n".join(f"  - {m}" for m in mistakes)
        super().__init__(f"{where}: {len(mistakes)} {noun}\n{lines}")
        self.mistakes = tuple(map(redact, mistakes))


class InputError(FuseGaugeError):
    """A model, dataset, column, file or option that is missing or unusable."""

    exit_code = 2


class NotComparableError(FuseGaugeError):
    """Two results with different items or settings."""

    exit_code = 3


class IncompleteError(FuseGaugeError):
    """A run that has not been finished."""

    exit_code = 4


class StageError(FuseGaugeError):
    """A stage that failed; everything finished before it is kept."""


class StoreError(StageError):
    """The store is damaged, busy or full."""


class SandboxError(StageError):
    """The sandbox itself failed, not the program in it; no verdict was given."""

    exit_code = 7


class TrackingError(FuseGaugeError):
    """MLflow could not be reached; local results are complete."""

    exit_code = 6
