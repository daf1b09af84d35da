"""What a benchmark's tasks ask and how many documents they have, for people and for planning."""

from dataclasses import dataclass
from typing import Any, Literal

from harness.scoring.options import ScoringOptions
from harness.scoring.tasks import chosen_filter, effective_fewshot, executes_code, inspect_tasks
from harness.suite import BenchmarkSpec

Kind = Literal["choice", "continuation", "text", "generation", "execution"]

_KINDS: dict[str, Kind] = {
    "multiple_choice": "choice",
    "loglikelihood": "continuation",
    "loglikelihood_rolling": "text",
}


@dataclass(frozen=True)
class TaskDescription:
    """One lm-eval task as a benchmark uses it; `items` are asked, of `documents` that there are."""

    name: str
    kind: Kind
    filter: str  # that finds the answer in what was generated; "" where nothing is
    num_fewshot: int
    items: int
    documents: int


def describe_tasks(benchmark: BenchmarkSpec, options: ScoringOptions) -> tuple[TaskDescription, ...]:
    """Every task of a benchmark, groups taken apart, in the benchmark's order.

    Raises:
        InputError: unknown task, or a dataset that cannot be read.
    """
    tasks = inspect_tasks(benchmark, options)
    return tuple(_described(name, task, benchmark) for name, task in tasks.items())


def _described(name: str, task: Any, benchmark: BenchmarkSpec) -> TaskDescription:
    documents = len(task.eval_docs)
    kind = "execution" if executes_code(benchmark, task) else _KINDS.get(task.OUTPUT_TYPE, "generation")
    return TaskDescription(
        name=name,
        kind=kind,
        filter=chosen_filter(benchmark, task) if kind == "generation" else "",
        num_fewshot=effective_fewshot(benchmark, task),
        items=min(documents, benchmark.limit or documents),
        documents=documents,
    )
