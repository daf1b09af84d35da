"""A suite's benchmarks in the terminal: what each measures and what its size can show; 80 columns will do."""

from os.path import commonprefix
from typing import TYPE_CHECKING

from rich.markup import escape

from harness.scoring.task_table import BenchmarkRow, CapabilityRow, TaskTable

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

LISTED = 4  # tasks of a benchmark that are named one by one


def render_tasks(shown: TaskTable) -> "Group":
    """The table, what its last column means, and what is wrong or missing with the remedy."""
    from rich.console import Group
    from rich.text import Text

    problems = [Text(line, style="red") for line in _problems(shown)]
    return Group(_table(shown), Text(_legend(shown), style="dim"), *problems)


def _problems(shown: TaskTable) -> list[str]:
    """What is wrong, line by line (missing data are named in their rows), then each remedy once."""
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
    table.add_column("shows\nfrom", justify="right", no_wrap=True)
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
    what = f"each benchmark counts the same: as much as {row.equivalent_items:,} equal items"
    return "  average", what, f"{row.items:,}", _points(row.smallest_points, True)


def _names(row: BenchmarkRow) -> str:
    """The tasks' names: with sizes where there are a few, by their common beginning where there are many."""
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
    return "nothing" if points is None else f"{points:.1f}"


def _legend(shown: TaskTable) -> str:
    return (
        "shows from: the smallest true difference, in percentage points, that the exact McNemar test finds "
        f"at p < {1 - shown.confidence:.2g} with {100 * shown.power:g} % power where two models differ on "
        f"{100 * shown.discordant:g} % of the items (or on as many as the difference needs), before the "
        f"correction for many comparisons; –: the metric is not right or wrong"
    )
