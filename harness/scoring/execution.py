"""What `evaluate.load("code_eval")` gives while tasks are built and scored.

Official code tasks load that metric and run a program with it when their module is imported, and keep the
object for the life of the process. So there is one object, and the mode it works in is set around each use.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

from harness.errors import InputError
from harness.sandbox import CodeEval
from harness.sandbox.code_eval import Results
from harness.scoring.patching import replaced

Mode = Literal["inspect", "refused", "subprocess"]


class SwitchedCodeEval(CodeEval):
    """`code_eval` that executes only where execution was allowed.

    Modes: "inspect" answers 0 and executes nothing (tasks are only being looked at); "refused" is an error;
    "subprocess" executes with limits.
    """

    mode: Mode = "refused"

    def compute(
        self,
        *,
        references: Sequence[str],
        predictions: Sequence[Sequence[str]],
        k: Sequence[int] = (1, 10, 100),
        num_workers: int | None = None,
        timeout: float = 3.0,
    ) -> tuple[dict[str, float], Results]:
        """As `CodeEval.compute`.

        Raises:
            InputError: in mode "refused".
        """
        if self.mode == "inspect":
            return {f"pass@{n}": 0.0 for n in k}, {}
        if self.mode == "refused":
            raise InputError(
                "a task wants to run model-written code, which is refused without a sandbox",
                remedy="give --unsafe-no-sandbox if you trust the models, or leave the benchmark out",
            )
        return super().compute(
            references=references, predictions=predictions, k=k, num_workers=num_workers, timeout=timeout
        )


_CODE_EVAL = SwitchedCodeEval()


@contextmanager
def code_eval(mode: Mode) -> Iterator[None]:
    """Within the block, `evaluate.load("code_eval")` is ours, in this mode."""
    import evaluate

    original = evaluate.load

    def load(path: str, *args: Any, **others: Any) -> Any:
        return _CODE_EVAL if path == _CODE_EVAL.name else original(path, *args, **others)

    with ExitStack() as stack:
        stack.enter_context(replaced(evaluate, "load", load))
        stack.enter_context(replaced(_CODE_EVAL, "mode", mode))
        yield


def mode_in_force() -> Mode:
    """The mode that the innermost `code_eval` block has set."""
    return _CODE_EVAL.mode
