"""The comparison as lines of numbers under MLflow's metric keys, headline lines first.

The order matters: MLflow plots the metric that was logged first. Shares are in percent, because its charts
and differences show two decimals.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from harness.core.formats import Unit
from harness.core.record import AVERAGE, Cell, Comparison, Role, Row
from harness.tracking.metric_names import clean, distinct, metric_key

OVERALL = "avg/overall"


@dataclass(frozen=True)
class Line:
    """One metric of every model; `row` is None for an average computed here."""

    key: str
    capability: str
    average: bool
    unit: Unit
    higher_is_better: bool
    values: Mapping[str, float]
    row: Row | None = None

    @property
    def label(self) -> str:
        """The key with dots, to stand behind another section: `reasoning/avg` is `reasoning.avg`."""
        return "overall" if self.key == OVERALL else self.key.replace("/", ".")

    def rounded(self, value: float) -> float:
        """As many digits as can mean something: a point of a percent is 2 of them."""
        return round(value, 2 if self.unit == "%" else 4)

    def best(self) -> float | None:
        chosen = max if self.higher_is_better else min
        return chosen(self.values.values(), default=None)


def lines(comparison: Comparison) -> list[Line]:
    """Overall, then the capabilities' averages, then every metric of every benchmark (unique keys)."""
    given = _given(comparison.rows)
    averages = [line for line in given if line.average]
    singles = [line for line in given if not line.average]
    missing = _capabilities(singles) - {line.capability for line in averages if line.unit == "%"}
    averages += [line for name in sorted(missing) if (line := _average_of(name, singles))]
    overall = [line for line in averages if line.key == OVERALL]
    averages = [line for line in averages if line.key != OVERALL]
    return [*(overall or _overall_of(averages)), *averages, *singles]


def headline(all_lines: Sequence[Line]) -> list[Line]:
    """The averages in percent: what the charts, the table and the differences start with."""
    return [line for line in all_lines if line.average and line.unit == "%"]


def scores_of(model: str, all_lines: Sequence[Line]) -> dict[str, float]:
    return {line.key: line.rounded(line.values[model]) for line in all_lines if model in line.values}


def models_with(comparison: Comparison, role: Role) -> list[str]:
    """Models of a role in the order of the comparison's columns."""
    cells: Iterable[Cell] = (c for row in comparison.rows for c in row.cells if c.role == role)
    return list(dict.fromkeys(cell.model for cell in cells))


def change(line: Line, fused: str, opponent: str) -> float | None:
    """Fused minus opponent in the line's unit: the paired difference where the comparison has one."""
    for paired in line.row.differences if line.row else ():
        if paired.opponent == opponent:
            return paired.difference
    if fused in line.values and opponent in line.values:
        return line.values[fused] - line.values[opponent]
    return None


def _given(rows: Sequence[Row]) -> list[Line]:
    keys = distinct([_row_key(row) for row in rows])
    return [
        Line(
            key=key,
            capability=row.capability,
            average=row.benchmark == AVERAGE,
            unit=row.unit,
            higher_is_better=row.higher_is_better,
            values={cell.model: cell.value for cell in row.cells},
            row=row,
        )
        for key, row in zip(keys, rows, strict=True)
    ]


def _row_key(row: Row) -> str:
    if row.benchmark != AVERAGE:
        metric = "bits_per_byte" if row.unit == "bits/byte" else row.metric
        return metric_key(row.capability, row.benchmark, metric)
    suffix = "avg" if row.unit == "%" else "avg_bits_per_byte"
    if clean(row.capability).lower() in {"overall", "all", AVERAGE}:
        return OVERALL if row.unit == "%" else "avg/overall_bits_per_byte"
    return metric_key(row.capability, suffix)


def _capabilities(singles: Sequence[Line]) -> set[str]:
    return {line.capability for line in singles}


def _average_of(capability: str, singles: Sequence[Line]) -> Line | None:
    rows = [
        line
        for line in singles
        if line.capability == capability and line.unit == "%" and line.row is not None and line.row.headline
    ]
    return _mean(metric_key(capability, "avg"), capability, rows) if rows else None


def _overall_of(averages: Sequence[Line]) -> list[Line]:
    shares = [line for line in averages if line.unit == "%"]
    return [_mean(OVERALL, "overall", shares)] if shares else []


def _mean(key: str, capability: str, parts: Sequence[Line]) -> Line:
    """Mean over parts, each counting once; only of models that every part has."""
    shared = [m for m in parts[0].values if all(m in part.values for part in parts)]
    values = {model: fmean(part.values[model] for part in parts) for model in shared}
    return Line(key, capability, True, "%", True, values)
