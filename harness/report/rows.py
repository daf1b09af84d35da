"""The rows, their order and the marks that the terminal and the report show of a comparison."""

from collections.abc import Iterable, Sequence
from typing import Literal

from harness.core.record import AVERAGE, Comparison, Difference, Role, Row

ROLE_NAMES = {
    Role.TARGET: "target before",
    Role.SOURCE: "source",
    Role.CONTROL: "control",
    Role.FUSED: "fused",
}
ORDER = tuple(ROLE_NAMES)
Standing = Literal["better", "worse", "perhaps better", "perhaps worse", "open"]
MARKS: dict[Standing, str] = {
    "better": "▲",
    "worse": "▼",
    "perhaps better": "△",
    "perhaps worse": "▽",
    "open": "",
}


def standing(row: Row, difference: Difference, confidence: float) -> Standing:
    """Whether fused is significantly better or worse: after correction, or only before it ("perhaps")."""
    alpha = 1 - confidence
    if difference.p_value >= alpha or difference.difference == 0:
        return "open"
    better = (difference.difference > 0) == row.higher_is_better
    if difference.p_adjusted < alpha:
        return "better" if better else "worse"
    return "perhaps better" if better else "perhaps worse"


def models_of(comparison: Comparison) -> list[tuple[str, Role]]:
    """(name, role) of every model, target first and fused last."""
    found = dict.fromkeys((c.model, c.role) for row in comparison.rows for c in row.cells)
    return sorted(found, key=lambda model: ORDER.index(model[1]))


def with_overall(comparison: Comparison, rows: Iterable[Row]) -> list[Row]:
    """The rows and, where there are several capabilities, the average over all."""
    return [*rows, *([comparison.overall] if comparison.overall else [])]


def by_capability(rows: Iterable[Row]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row.capability, []).append(row)
    return grouped


def score_rows(comparison: Comparison) -> list[Row]:
    """Benchmarks' own metrics, then each capability's average."""
    return _without_repetition([r for r in comparison.rows if r.unit != "bits/byte"])


def likelihood_rows(comparison: Comparison) -> list[Row]:
    """Bits per byte of the benchmarks and capabilities."""
    return _without_repetition([r for r in comparison.rows if r.unit == "bits/byte"])


def average_rows(comparison: Comparison) -> list[Row]:
    """One row per capability: its average score, else its bits per byte."""
    averages = by_capability(r for r in comparison.rows if r.benchmark == AVERAGE)
    return [rows[0] for rows in averages.values()]


def _without_repetition(rows: Sequence[Row]) -> list[Row]:
    """Drop the average of a capability with a single benchmark: the two are equal."""
    kept = []
    for group in by_capability(rows).values():
        single = len({r.benchmark for r in group if r.benchmark != AVERAGE}) == 1
        kept += [r for r in group if not (single and r.benchmark == AVERAGE)]
    return kept
