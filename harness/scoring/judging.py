"""Programs in many languages -> scores of the document that they answer."""

from collections.abc import Sequence

from harness.sandbox import Ruling, Verdict, pass_at_k
from harness.sandbox.programs import Program, judge_programs
from harness.scoring.execution import backend_in_force

PASS_AT = (1, 10, 100)


def judged(programs: Sequence[Program]) -> dict[str, float]:
    """Run a document's samples, where execution is allowed, and score them.

    Raises:
        InputError: execution is refused, no sandbox works, or a language's toolchain is missing.
        SandboxError: the sandbox failed.
    """
    backend = backend_in_force()
    if backend is None:  # the task is only being looked at
        return scores([Verdict(Ruling.ERROR)] * len(programs))
    return scores(judge_programs(programs, backend))


def scores(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """pass@k for every k that the samples allow, and the shares that compile and that time out."""
    n = len(verdicts)
    passed = sum(verdict.passed for verdict in verdicts)
    return {
        **{f"pass@{k}": pass_at_k(n, passed, k) for k in PASS_AT if k <= n},
        "compiles": sum(verdict.compiled for verdict in verdicts) / n,
        "timed_out": sum(verdict.ruling is Ruling.TIMEOUT for verdict in verdicts) / n,
    }
