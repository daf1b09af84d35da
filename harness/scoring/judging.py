"""Programs in many languages -> scores of the document that they answer."""

from collections.abc import Sequence

from harness.errors import InputError
from harness.sandbox import pass_at_k
from harness.sandbox.programs import Program, Verdict, judge_programs
from harness.scoring.execution import mode_in_force

PASS_AT = (1, 10, 100)


def judged(programs: Sequence[Program]) -> dict[str, float]:
    """Run a document's samples, where execution is allowed, and score them.

    Raises:
        InputError: execution is refused, no sandbox works, or a language's toolchain is missing.
    """
    mode = mode_in_force()
    if mode == "inspect":  # the task is only being looked at
        return scores([Verdict.FAILED] * len(programs))
    if mode == "refused":
        raise InputError(
            "a task wants to run model-written code, which is refused without a sandbox",
            remedy="install a sandbox (`doctor` says how), or leave the benchmark out",
        )
    return scores(judge_programs(programs))


def scores(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """pass@k for every k that the samples allow, and the shares that compile and that time out."""
    n = len(verdicts)
    passed = verdicts.count(Verdict.PASSED)
    return {
        **{f"pass@{k}": pass_at_k(n, passed, k) for k in PASS_AT if k <= n},
        "compiles": 1 - verdicts.count(Verdict.NOT_COMPILED) / n,
        "timed_out": verdicts.count(Verdict.TIMED_OUT) / n,
    }
