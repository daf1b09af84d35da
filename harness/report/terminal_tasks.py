"""A suite's benchmarks in the terminal: what each measures and its minimum detectable effect; 80 columns."""

from os.path import commonprefix
from typing import TYPE_CHECKING

from rich.markup import escape

from harness.scoring.task_table import BenchmarkRow, CapabilityRow, TaskTable

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

LISTED = 4  # tasks of a benchmark that are named one by one


def render_tasks(shown: TaskTable) -> "Group":
    """The table, an explanation of its last column, and what is wrong or missing with the remedy."""
    from rich.console import Group
    from rich.text import Text

    problems = [Text(line, style="red") for line in _problems(shown)]
    return Group(_table(shown), Text(_legend(shown), style="dim"), *problems)


def _problems(shown: TaskTable) -> list[str]:
    """One line per problem (missing data are named in their rows), then each remedy once."""
    parts = [(row, *problem.partition("\n")) for row in shown.benchmarks for problem in row.problems]
    remedies = dict.fromkeys(remedy for *_, remedy in parts if remedy)
    return [*(f"- {what}" for row, what, *_ in parts if not row.missing), *remedies]


def _table(shown: TaskTable) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=shown.suite, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("benchmark", overflow="fold")
    table.add_column("what it measures", ratio=1, overflow="fold")
    table.add_column("items", justify="right", no_wrap=True)
    table.add_column("MDE", justify="right", no_wrap=True)
    pooled = {row.capability: row for row in shown.capabilities}
    for capability in dict.fromkeys(row.capability for row in shown.benchmarks):
        table.add_row(f"[bold]{escape(capability)}[/bold]")
        for row in (r for r in shown.benchmarks if r.capability == capability):
            table.add_row(*_cells(row))
        if capability in pooled:
            table.add_row(*_pooled_cells(pooled[capability]))
    return table


def _cells(row: BenchmarkRow) -> tuple[str, ...]:
    name = f"  {escape(row.benchmark)}"
    if row.problems:
        what = f"missing data: {', '.join(row.missing)}" if row.missing else "cannot be scored: see below"
        return name, f"[red]{escape(what)}[/red]", "", ""
    measures = f"{escape(row.measures)}\n[dim]{escape(_names(row))}[/dim]"
    return name, measures, _items(row), _points(row.smallest_points, row.right_or_wrong)


def _pooled_cells(row: CapabilityRow) -> tuple[str, ...]:
    what = f"benchmarks weigh equally; as precise as one benchmark of {row.equivalent_items:,} items"
    return "  average", what, f"{row.items:,}", _points(row.smallest_points, True)


def _names(row: BenchmarkRow) -> str:
    """The tasks' names: with sizes if there are few, their common prefix if there are many."""
    names = [task.name for task in row.tasks]
    if len(names) == 1:
        return names[0]
    if len(names) <= LISTED:
        return "\n".join(f"{task.name}: {task.items:,} of {task.documents:,}" for task in row.tasks)
    return f"{len(names)} tasks {commonprefix(names) or names[0]}*"  # noqa: RUF071  these are no paths


def _items(row: BenchmarkRow) -> str:
    rest = f"\n[dim]of {row.documents:,}[/dim]" if row.items < row.documents else ""
    return f"{row.items:,}{rest}"


def _points(points: float | None, right_or_wrong: bool) -> str:
    if not right_or_wrong:
        return "–"
    return "none" if points is None else f"{points:.1f}"


def _legend(shown: TaskTable) -> str:
    return (
        "MDE: minimum detectable effect, the smallest true difference in percentage points that the exact "
        f"McNemar test finds at p < {1 - shown.confidence:.2g} with {100 * shown.power:g} % power if the two "
        f"models differ on {100 * shown.discordant:g} % of the items (or on as many as the difference "
        f"needs), before the correction for multiple comparisons; none: too few items to detect any "
        f"difference; –: the metric does not score answers as right or wrong"
    )
