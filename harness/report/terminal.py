"""The comparison in the terminal: scores, then fused minus every other model; 100 columns for five models."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from harness.core.formats import interval, number, signed
from harness.core.record import AVERAGE, Comparison, Difference, Role, Row, RunRecord
from harness.report.rows import (
    MARKS,
    ROLE_NAMES,
    Standing,
    by_capability,
    likelihood_rows,
    models_of,
    score_rows,
    standing,
    with_overall,
)

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

STYLES: dict[Standing, str] = {"better": "bold blue", "worse": "bold red"}
NO_BREAK = "\u00a0"  # aligns numbers without a mark with marked ones
LEGEND = (
    "▲ significantly better, ▼ significantly worse, after correction for multiple comparisons;\n"
    "△ ▽ only before the correction; no mark: no significant difference"
)


def render_comparison(shown: RunRecord | Comparison) -> "Group":
    """Scores of every model, the paired differences if there is a fused model, and the verdict."""
    from rich.console import Group
    from rich.text import Text

    comparison = shown.comparison if isinstance(shown, RunRecord) else shown
    rows = terminal_rows(comparison)
    said = comparison.verdict
    lines = [line for line in dict.fromkeys((said.headline, said.sentence)) if line]
    verdict = Text("\n").join([Text(line, style="bold") for line in lines])
    if not rows:
        return Group(verdict)
    tables = [_scores(comparison, rows)]
    if any(row.differences for row in rows):
        tables.append(_differences(comparison, rows))
    return Group(*tables, verdict)


def terminal_rows(comparison: Comparison) -> list[Row]:
    """Headline metrics and averages, one row of bits per byte per capability, and the average over all."""
    likelihoods = likelihood_rows(comparison)
    averaged = {row.capability for row in likelihoods if row.benchmark == AVERAGE}
    kept = [r for r in likelihoods if r.benchmark == AVERAGE or r.capability not in averaged]
    rows = [r for r in score_rows(comparison) if r.headline] + kept
    order = list(dict.fromkeys(r.capability for r in comparison.rows))
    return with_overall(comparison, sorted(rows, key=lambda r: order.index(r.capability)))


def _scores(comparison: Comparison, rows: Sequence[Row]) -> "Table":
    table = _table("Scores in percent; bits per byte: lower is better")
    table.add_column("n", justify="right", style="dim")
    models = models_of(comparison)
    for name, role in models:
        table.add_column(f"{name}\n[dim]{ROLE_NAMES[role]}[/dim]", justify="right", overflow="fold")
    for capability, group in by_capability(rows).items():
        table.add_row(f"[bold]{escape(capability)}[/bold]")
        for row in group:
            values = {c.model: _value(number(c.value, row.unit), c.role) for c in row.cells}
            n = str(row.cells[0].n) if row.cells else ""
            table.add_row(_label(row, metric=True), n, *(values.get(name, "") for name, _ in models))
    return table


def _differences(comparison: Comparison, rows: Sequence[Row]) -> "Table":
    level = f"{100 * comparison.confidence:g} %"
    table = _table(f"Fused minus each model, same items, {level} confidence interval", caption=LEGEND)
    opponents = [name for name, role in models_of(comparison) if role is not Role.FUSED]
    for name in opponents:
        table.add_column(f"− {name}", justify="right", overflow="fold")
    for capability, group in by_capability(r for r in rows if r.differences).items():
        table.add_row(f"[bold]{escape(capability)}[/bold]")
        for row in group:
            cells = {d.opponent: _difference(row, d, comparison.confidence) for d in row.differences}
            table.add_row(_label(row), *(cells.get(name, "") for name in opponents))
    return table


def _table(title: str, caption: str | None = None) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(
        title=title,
        caption=caption,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        pad_edge=False,
    )
    table.add_column("", overflow="fold")
    return table


def _label(row: Row, *, metric: bool = False) -> str:
    if row.unit == "bits/byte":
        return "  [dim]bits per byte[/dim]"
    named = metric and row.benchmark != AVERAGE
    return f"  {escape(row.benchmark)}" + (f" [dim]{escape(row.metric)}[/dim]" if named else "")


def _value(text: str, role: Role) -> str:
    return f"[bold]{text}[/bold]" if role is Role.FUSED else text


def _difference(row: Row, difference: Difference, confidence: float) -> str:
    how = standing(row, difference, confidence)
    text = f"{signed(difference.difference, row.unit)} {MARKS[how] or NO_BREAK}"
    style = STYLES.get(how)
    styled = f"[{style}]{text}[/{style}]" if style else text
    return f"{styled}\n[dim]{interval(difference.low, difference.high, row.unit)}[/dim]"
