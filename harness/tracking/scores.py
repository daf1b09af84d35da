"""The rows of the comparison with their MLflow metric keys, headline rows first.

The order matters: MLflow plots the metric that was logged first. Shares are in percent, because MLflow's
charts and differences show two decimals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.core.record import AVERAGE, Comparison, Row
from harness.tracking.metric_names import distinct, metric_key

OVERALL_KEY = "avg/overall"


@dataclass(frozen=True)
class KeyedRow:
    """One metric of all models and its key in MLflow."""

    key: str
    row: Row

    @property
    def average(self) -> bool:
        return self.row.benchmark == AVERAGE

    @cached_property
    def values(self) -> Mapping[str, float]:
        """Model -> score, in the row's unit."""
        return {cell.model: cell.value for cell in self.row.cells}

    @property
    def label(self) -> str:
        """The key with dots, for use within another section: `reasoning/avg` is `reasoning.avg`."""
        return "overall" if self.key == OVERALL_KEY else self.key.replace("/", ".")

    def rounded(self, value: float) -> float:
        """Rounded to 2 decimals for percent, else to 4."""
        return round(value, 2 if self.row.unit == "%" else 4)

    def best_of(self, models: Sequence[str]) -> str | None:
        """The model with the best score among these; None if none has a score."""
        chosen = max if self.row.higher_is_better else min
        return chosen((m for m in models if m in self.values), key=lambda m: self.values[m], default=None)

    def change(self, opponent: str) -> float | None:
        """Fused minus opponent in the row's unit; None where they were not compared."""
        return next((d.difference for d in self.row.differences if d.opponent == opponent), None)


def keyed_rows(comparison: Comparison) -> list[KeyedRow]:
    """Overall, then the capabilities' averages, then every metric of every benchmark (unique keys).

    With a single capability its average is also the overall score.
    """
    averages = [row for row in comparison.rows if row.benchmark == AVERAGE]
    singles = [row for row in comparison.rows if row.benchmark != AVERAGE]
    shares = [row for row in averages if row.unit == "%"]
    overall = comparison.overall or (shares[0] if len(shares) == 1 else None)
    rows = [*([overall] if overall else []), *averages, *singles]
    keys = [*([OVERALL_KEY] if overall else []), *map(_key, averages), *map(_key, singles)]
    return [KeyedRow(key, row) for key, row in zip(distinct(keys), rows, strict=True)]


def headline(rows: Sequence[KeyedRow]) -> list[KeyedRow]:
    """The averages in percent, which come first in charts, table and differences."""
    return [keyed for keyed in rows if keyed.average and keyed.row.unit == "%"]


def scores_of(model: str, rows: Sequence[KeyedRow]) -> dict[str, float]:
    return {keyed.key: keyed.rounded(keyed.values[model]) for keyed in rows if model in keyed.values}


def _key(row: Row) -> str:
    likelihood = row.unit == "bits/byte"
    if row.benchmark == AVERAGE:
        return metric_key(row.capability, "avg_bits_per_byte" if likelihood else "avg")
    return metric_key(row.capability, row.benchmark, "bits_per_byte" if likelihood else row.metric)
