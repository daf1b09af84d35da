"""A sandboxed version of the metric `code_eval` of the `evaluate` library.

Tasks load it by name (`evaluate.load("code_eval")`); the reference implementation is downloaded and runs
programs without a sandbox, as children of the scoring process. Inputs and outputs have the same format.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from math import ceil, comb
from typing import Any

from harness.core.exceptions import InputError
from harness.sandbox.backends.base import Backend
from harness.sandbox.program_verdict import ProgramVerdict
from harness.sandbox.python_program import LIMITS, PythonProgram
from harness.sandbox.run import judge_all

USUAL_K = (1, 10, 100)
WALL_CLOCK = 4  # multiple of the CPU time

CodeEvalResults = dict[int, list[tuple[int, dict[str, Any]]]]


def pass_at_k(n: int, passed: int, k: int) -> float:
    """Unbiased estimate of the chance that one of k samples passes: 1 - C(n - passed, k) / C(n, k).

    Source: Chen et al. 2021, "Evaluating large language models trained on code", equation 1.

    Raises:
        InputError: k > n, for which there is no unbiased estimate.
    """
    if not 1 <= k <= n:
        raise InputError(
            f"pass@{k} cannot be estimated from {n} samples per problem",
            remedy=f"draw at least {k} samples (the task's `repeats`) or ask for a smaller k",
        )
    return 1.0 - comb(n - passed, k) / comb(n, k)


class CodeEval:
    """Replacement for `evaluate.load("code_eval")`."""

    name = "code_eval"

    def compute(
        self,
        *,
        references: Sequence[str],
        predictions: Sequence[Sequence[str]],
        k: Sequence[int] | None = None,
        num_workers: int | None = None,  # noqa: ARG002 - as many as there are cores
        timeout: float = 3.0,
        backend: Backend | None = None,
        given: str = "",
    ) -> tuple[dict[str, float], CodeEvalResults]:
        """Run every prediction against its problem's tests.

        Args:
            references: test program per problem.
            predictions: candidate programs per problem.
            k: values of k for pass@k; None for those in `USUAL_K` with enough samples.
            timeout: CPU seconds per program, rounded up; the wall-clock limit is WALL_CLOCK times that.
            backend: sandbox backend; None for the best one on this machine.
            given: the prompt with which the predictions begin, if known (`PythonProgram.given`).

        Returns:
            ({"pass@k": mean over problems}, {problem: [(candidate, {"passed": .., "result": ..})]}).

        Raises:
            InputError: no sandbox works here, or a problem has fewer samples than a requested k.
            SandboxError: a sandbox failed.
        """
        least = min(map(len, predictions), default=0)
        wanted = [n for n in USUAL_K if n <= least] if k is None else k
        limits = replace(LIMITS, cpu_seconds=max(1, ceil(timeout)), wall_seconds=WALL_CLOCK * timeout)
        programs = [
            PythonProgram(source, tests, given if source.startswith(given) else "")
            for tests, sources in zip(references, predictions, strict=True)
            for source in sources
        ]
        verdicts = judge_all(programs, backend, limits=limits)
        ends = [0, *accumulate(len(sources) for sources in predictions)]
        problems = [verdicts[a:b] for a, b in pairwise(ends)]
        return _estimates(problems, wanted), {i: _rows(i, problem) for i, problem in enumerate(problems)}


def _estimates(problems: Sequence[Sequence[ProgramVerdict]], ks: Sequence[int]) -> dict[str, float]:
    counts = [(len(problem), sum(verdict.passed for verdict in problem)) for problem in problems]
    return {f"pass@{k}": sum(pass_at_k(n, c, k) for n, c in counts) / max(1, len(counts)) for k in ks}


def _rows(problem: int, verdicts: Sequence[ProgramVerdict]) -> list[tuple[int, dict[str, Any]]]:
    return [
        (i, {"task_id": problem, "passed": v.passed, "result": str(v.ruling), "completion_id": i})
        for i, v in enumerate(verdicts)
    ]
