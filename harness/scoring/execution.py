"""Replacement of `evaluate.load("code_eval")` while tasks are built and scored.

Official code tasks load that metric and run a program with it when their module is imported, and keep the
object for the life of the process. So there is one object, and the mode it works in is set around each use.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, Literal

from harness.core.environment import replaced
from harness.core.exceptions import InputError
from harness.sandbox import Backend, CodeEval, ProgramVerdict, Ruling, Unconfined, pass_at_k, required
from harness.sandbox.code_eval import USUAL_K, CodeEvalResults
from harness.sandbox.languages.programs import Program, judge_programs

CodeEvalMode = Literal["inspect", "refused", "subprocess", "reduced", "sandbox"]

_PROMPT: ContextVar[str] = ContextVar("prompt", default="")


class SwitchedCodeEval(CodeEval):
    """`code_eval` that executes programs only where its mode allows it.

    Modes: "inspect" returns 0 and executes nothing (for inspecting tasks); "refused" raises an error;
    "sandbox" and "reduced" execute in this machine's best sandbox, "subprocess" with resource limits only.
    """

    mode: CodeEvalMode = "refused"

    def compute(self, **asked: Any) -> tuple[dict[str, float], CodeEvalResults]:
        """Do what `CodeEval.compute` does, with the mode's backend and the prompt of the current item.

        Raises:
            InputError: in mode "refused".
        """
        if self.mode == "inspect":
            return {f"pass@{n}": 0.0 for n in asked.get("k") or ()}, {}
        return super().compute(**{"backend": self.backend(), "given": _PROMPT.get(), **asked})

    def backend(self) -> Backend:
        """The backend that runs programs in this mode; InputError if refused or no sandbox works."""
        if self.mode == "refused":
            raise InputError(
                "a task wants to run model-written code, which is refused without a sandbox",
                remedy="`fusegauge doctor` shows what is missing for a sandbox here; give "
                "--unsafe-no-sandbox if you trust the models, or leave the benchmark out",
            )
        return Unconfined() if self.mode == "subprocess" else required()


_CODE_EVAL = SwitchedCodeEval()


@contextmanager
def code_eval(mode: CodeEvalMode) -> Iterator[None]:
    """Context in which `evaluate.load("code_eval")` returns our metric in the given mode."""
    import evaluate

    original = evaluate.load

    def load(path: str, *args: Any, **others: Any) -> Any:
        return _CODE_EVAL if path == _CODE_EVAL.name else original(path, *args, **others)

    with ExitStack() as stack:
        stack.enter_context(replaced(evaluate, "load", load))
        stack.enter_context(replaced(_CODE_EVAL, "mode", mode))
        yield


def backend_in_force() -> Backend | None:
    """The backend of the innermost `code_eval` block; None in mode "inspect", which runs nothing.

    Raises:
        InputError: execution is refused, or no sandbox works here.
    """
    return None if _CODE_EVAL.mode == "inspect" else _CODE_EVAL.backend()


@contextmanager
def prompted(prompt: str) -> Iterator[None]:
    """Within the block, in this thread, `prompt` is known to be given to programs that begin with it."""
    token = _PROMPT.set(prompt)
    try:
        yield
    finally:
        _PROMPT.reset(token)


def judged(programs: Sequence[Program]) -> dict[str, float]:
    """Run a document's samples, where execution is allowed, and score them.

    Raises:
        InputError: execution is refused, no sandbox works, or a language's toolchain is missing.
        SandboxError: the sandbox failed.
    """
    backend = backend_in_force()
    if backend is None:  # the task is only inspected
        return scores([ProgramVerdict(Ruling.ERROR)] * len(programs))
    return scores(judge_programs(programs, backend))


def scores(verdicts: Sequence[ProgramVerdict]) -> dict[str, float]:
    """pass@k for every usual k up to the number of samples, and the shares that compile and that time out."""
    n = len(verdicts)
    passed = sum(verdict.passed for verdict in verdicts)
    return {
        **{f"pass@{k}": pass_at_k(n, passed, k) for k in USUAL_K if k <= n},
        "compiles": sum(verdict.compiled for verdict in verdicts) / n,
        "timed_out": sum(verdict.ruling is Ruling.TIMEOUT for verdict in verdicts) / n,
    }
