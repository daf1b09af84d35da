"""Terminal output: progress, the comparison of a finished run, plan, tasks, links and doctor."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from harness.core.record import RunRecord
from harness.pipeline.runner import StageResult
from harness.pipeline.stage import Stage

if TYPE_CHECKING:
    from harness.doctor import MachineCheck
    from harness.experiment import Finished
    from harness.pipeline.plan import Plan
    from harness.scoring.task_table import TaskTable
    from harness.tracking import TrackingLinks
    from harness.tracking.ui import Page

LOG_COLUMNS = 120  # of tables in a file or a CI log, which do not wrap like a terminal
_FACTS = ("documents", "windows", "tokens", "bits_per_byte", "mapped_percent", "items")  # shown


class ConsoleObserver:
    """Prints one line per finished stage and a progress bar for the running one, on stderr."""

    def __init__(self, *, quiet: bool) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False, emoji=False)
        self._bar = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._started = 0.0

    def __enter__(self) -> "ConsoleObserver":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def started(self, stage: Stage, index: int, total: int) -> None:
        self._drop_task()
        self._started = time.monotonic()
        self._task = self._bar.add_task(f"[{index + 1}/{total}] {stage.name}", total=None)

    def progress(self, stage: Stage, what: str, done: int, total: int) -> None:
        if self._task is not None:
            self._bar.update(self._task, description=f"{stage.name}: {what}", completed=done, total=total)

    def finished(self, stage: Stage, outcome: StageResult) -> None:
        self._drop_task()
        how = "reused" if outcome.reused else f"{time.monotonic() - self._started:.1f} s"
        facts = ", ".join(_fact(k, outcome.entry.facts[k]) for k in _FACTS if k in outcome.entry.facts)
        mark = "[dim]=[/dim]" if outcome.reused else "[green]✓[/green]"
        self.console.print(f"{mark} {stage.name:<34} {how:>9}  [dim]{facts}[/dim]", soft_wrap=True)

    def _drop_task(self) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None


def _fact(name: str, value: Any) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else f"{value:,}"
    return f"{text} {name.replace('_', ' ')}"


def show_finished(finished: "Finished") -> None:
    """Print the comparison, the verdict, and the paths of the files."""
    show_record(finished.record)
    reused = sum(o.reused for o in finished.outcomes.values())
    print(f"run:    {finished.record.run} ({reused} of {len(finished.outcomes)} stages reused)")
    print(f"report: {finished.folder / 'report.html'}")
    print(f"data:   {finished.folder / 'run.json'}")


def show_record(record: RunRecord) -> None:
    """Print the comparison, the verdict and the run's notes."""
    from harness.report.terminal import render_comparison

    console = Console(highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = max(console.width, LOG_COLUMNS)
    console.print(render_comparison(record))
    for note in record.notes:
        console.print(f"[yellow]note:[/yellow] {note}")


def show_links(links: "TrackingLinks", *, err: bool = False) -> None:
    """Print where MLflow shows the run, and the command that serves it."""
    lines = [f"MLflow: {links.view}"]
    if links.command:
        lines.append(f"        (start the server with: {links.command})")
    print("\n".join(lines), file=sys.stderr if err else sys.stdout)


def show_page(page: "Page") -> None:
    """Print where MLflow is served, and a link per run; flushed, because the command keeps running."""
    lines = [f"MLflow: {page.base} (shows {page.database})"]
    lines += [line for run, links in page.runs.items() for line in (run, f"  {links.view}")]
    lines += [] if page.runs else ["no run has been synced yet; to sync one: fusegauge sync RUN"]
    lines += [f"log: {page.log}; stop with Ctrl-C"] if page.process else []
    print("\n".join(lines), flush=True)


def show_plan(plan: "Plan") -> None:
    """Print the stages: which are finished, and the estimated cost of the others."""
    table = Table(
        title=f"{plan.suite}: {plan.present} of {len(plan.stages)} stages are finished", title_justify="left"
    )
    for name in ("stage", "state", "tokens", "TFLOP", "disk MB", "memory GB", "minutes"):
        text = name in ("stage", "state")
        table.add_column(name, justify="left" if text else "right", overflow="fold", no_wrap=not text)
    for stage in plan.stages:
        table.add_row(*stage.cells())
    table.add_section()
    table.add_row(*plan.total_cells())
    console = Console(highlight=False, emoji=False)
    console.print(table)
    console.print(plan.assumptions)


def show_tasks(table: "TaskTable") -> None:
    """Print what the benchmarks of a suite measure, and their minimum detectable effects."""
    from harness.report.terminal_tasks import render_tasks

    Console(highlight=False, emoji=False).print(render_tasks(table))


def show_findings(findings: "Sequence[MachineCheck]") -> None:
    """Print one line per finding, with the remedy below what is missing."""
    console = Console(highlight=False, emoji=False)
    for finding in findings:
        mark = "[green]ok     [/green]" if finding.ok else "[red]missing[/red]"
        console.print(f"{mark} {finding.name:<22} {finding.detail}")
        if not finding.ok:
            console.print(f"        -> {finding.remedy}")
