"""The `tasks` table: what each benchmark measures, its number of items, its minimum detectable effect."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from harness.comparison.power import DISCORDANT, POWER, equivalent_items, smallest_difference
from harness.core.record import NO_TOOLCHAIN
from harness.data.mirror import missing_datasets
from harness.scoring.options import scoring_options
from harness.suite.run_options import RunOptions
from harness.suite.spec import BenchmarkSpec, LoadedSuite

if TYPE_CHECKING:
    from harness.scoring import ScoringOptions, TaskDescription

Points = Callable[[int], float | None]  # number of items -> minimum detectable effect

# Metrics whose per-document values are 0 or 1, so that the comparison uses McNemar's test. For others (f1,
# chrf) the minimum detectable effect depends on their spread, which is known only after a run.
RIGHT_OR_WRONG = frozenset(
    {"acc", "acc_norm", "acc_bytes", "acc_mutual_info", "em", "exact_match", "pass@1", "pass_at_1"}
)
_SENTENCES = {
    "choice": "choice by log-likelihood",
    "continuation": "continuation by log-likelihood",
    "text": "log-likelihood of a text",
    "generation": "generated and matched",
    "execution": "program written and executed",
}


@dataclass(frozen=True)
class BenchmarkRow:
    """One benchmark of the table.

    `smallest_points`: minimum detectable effect in percentage points; None where no difference is detectable
    or the metric is not right or wrong. `problems`: why it cannot be scored; `missing`: datasets that are
    missing.
    """

    capability: str
    benchmark: str
    metric: str
    tasks: "tuple[TaskDescription, ...]"
    smallest_points: float | None
    problems: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    samples: int = 1  # answers per item; with several, an item's score is a share
    left_out: str = ""  # why a valid benchmark is not scored on this machine

    @property
    def items(self) -> int:
        return sum(task.items for task in self.tasks)

    @property
    def documents(self) -> int:
        return sum(task.documents for task in self.tasks)

    @property
    def right_or_wrong(self) -> bool:
        return self.metric in RIGHT_OR_WRONG and self.samples == 1

    @property
    def measures(self) -> str:
        """How answers are obtained and scored, the headline metric and the number of few-shot examples."""
        kinds = dict.fromkeys(_SENTENCES[task.kind] for task in self.tasks)
        shots = " and ".join(str(n) for n in sorted({task.num_fewshot for task in self.tasks}))
        samples = f" of {self.samples} samples" if self.samples > 1 else ""
        left_out = f"; left out here, {self.left_out}" if self.left_out else ""
        return f"{' or '.join(kinds)}, {self.metric}{samples}, {shots}-shot{left_out}"


@dataclass(frozen=True)
class CapabilityRow:
    """Average of a capability's benchmarks with equal weights.

    It is as informative as `equivalent_items` items of one benchmark.
    """

    capability: str
    benchmarks: int
    items: int
    equivalent_items: int
    smallest_points: float | None


@dataclass(frozen=True)
class TaskTable:
    """All benchmarks of a suite; minimum detectable effects under the stated assumptions."""

    suite: str
    confidence: float
    power: float
    discordant: float
    benchmarks: tuple[BenchmarkRow, ...]
    capabilities: tuple[CapabilityRow, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(problem for row in self.benchmarks for problem in row.problems)

    def as_json(self) -> str:
        rows = [
            {**asdict(row), "items": row.items, "documents": row.documents, "measures": row.measures}
            for row in self.benchmarks
        ]
        return json.dumps({**asdict(self), "benchmarks": rows}, indent=1)


def task_table(loaded: LoadedSuite, run_options: RunOptions, discordant: float = DISCORDANT) -> TaskTable:
    """Read every benchmark's tasks and data; missing data and errors become problems of its row.

    `discordant`: assumed share of items that only one of two models answers right (harness.comparison.power).
    """
    options, alpha = scoring_options(loaded, run_options), 1 - loaded.suite.comparison.confidence
    points = partial(_points, alpha=alpha, discordant=discordant)
    rows = tuple(
        _row(capability, benchmark, options, points)
        for capability, benchmarks in loaded.suite.benchmarks.items()
        for benchmark in benchmarks
    )
    return TaskTable(
        suite=loaded.suite.name,
        confidence=loaded.suite.comparison.confidence,
        power=POWER,
        discordant=discordant,
        benchmarks=rows,
        capabilities=tuple(_capabilities(rows, points)),
    )


def _row(
    capability: str, benchmark: BenchmarkSpec, options: "ScoringOptions", points: Points
) -> BenchmarkRow:
    from harness.scoring import datasets_of, describe_tasks, how_executed, validate_benchmarks

    metric = benchmark.metrics[0]
    if problems := validate_benchmarks([benchmark], options):
        missing = tuple(map(str, missing_datasets(datasets_of(benchmark, options), options)))
        return BenchmarkRow(capability, benchmark.name, metric, (), None, tuple(problems), missing)
    tasks = describe_tasks(benchmark, options)
    executed = how_executed(benchmark, options)
    row = BenchmarkRow(
        capability,
        benchmark.name,
        metric,
        tasks,
        None,
        samples=benchmark.samples or 1,
        left_out=executed if executed.startswith(NO_TOOLCHAIN) else "",
    )
    return replace(row, smallest_points=points(row.items)) if row.right_or_wrong else row


def _capabilities(rows: Sequence[BenchmarkRow], points: Points) -> Iterator[CapabilityRow]:
    """Capabilities with several benchmarks, all of them readable and scored as right or wrong."""
    for capability in dict.fromkeys(row.capability for row in rows):
        own = [row for row in rows if row.capability == capability]
        if len(own) > 1 and all(row.right_or_wrong and not row.problems for row in own):
            sizes = [row.items for row in own]
            equivalent = equivalent_items(sizes)
            yield CapabilityRow(capability, len(own), sum(sizes), equivalent, points(equivalent))


def _points(items: int, *, alpha: float, discordant: float) -> float | None:
    """Minimum detectable effect in percentage points."""
    found = smallest_difference(items, alpha=alpha, discordant=discordant)
    return None if found is None else 100 * found
