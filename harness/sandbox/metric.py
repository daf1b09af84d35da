"""pass@k in the sandbox as a metric of the `evaluate` library: `evaluate.load("<this file>")`.

Inputs and outputs are those of `code_eval`; `timeout` is in CPU seconds per program. `evaluate` copies this
file and scans its imports, so all other code is in the installed package.
"""

import datasets
import evaluate

import harness.sandbox


class SandboxedCodeEval(evaluate.Metric):  # type: ignore[misc]
    """pass@k; each program and its tests run in fresh sandboxes."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="pass@k, each program and its tests in fresh sandboxes",
            citation="",
            inputs_description="predictions: candidate programs per problem; references: its tests",
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Value("string")),
                    "references": datasets.Value("string"),
                }
            ),
        )

    def _compute(
        self,
        predictions: list[list[str]],
        references: list[str],
        k: list[int] | None = None,
        num_workers: int | None = None,
        timeout: float = 3.0,
    ) -> tuple[dict[str, float], harness.sandbox.code_eval.CodeEvalResults]:
        return harness.sandbox.CodeEval().compute(
            references=references, predictions=predictions, k=k, num_workers=num_workers, timeout=timeout
        )
