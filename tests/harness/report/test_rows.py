"""Which rows are shown, and what the marks mean."""

import pytest

from harness.comparison.compare import compare
from harness.core.record import AVERAGE, Cell, Difference, Role, Row
from harness.report.rows import MARKS, likelihood_rows, models_of, score_rows, standing
from harness.suite.spec import ComparisonSpec
from tests.harness.sample_run import BENCHMARKS, MODELS, draw_items, sample_benchmarks


def difference(value: float, p: float, adjusted: float) -> Difference:
    return Difference(
        opponent="clm",
        role=Role.CONTROL,
        difference=value,
        low=value,
        high=value,
        p_value=p,
        p_adjusted=adjusted,
        better=0,
        worse=0,
        n=1,
    )


def row(higher_is_better: bool) -> Row:
    return Row(
        capability="c",
        benchmark="b",
        metric="m",
        unit="%",
        higher_is_better=higher_is_better,
        headline=True,
        cells=(Cell(model="fused", role=Role.FUSED, value=1.0, n=1),),
        differences=(),
    )


@pytest.mark.parametrize(
    "value, p, adjusted, higher_is_better, expected",
    [
        (2.0, 0.001, 0.004, True, "better"),
        (-2.0, 0.001, 0.004, True, "worse"),
        (-2.0, 0.001, 0.004, False, "better"),  # fewer bits per byte
        (2.0, 0.001, 0.004, False, "worse"),
        (2.0, 0.03, 0.09, True, "perhaps better"),
        (-2.0, 0.03, 0.09, True, "perhaps worse"),
        (2.0, 0.2, 0.2, True, "open"),
        (0.0, 0.001, 0.001, True, "open"),
    ],
)
def test_standing(value: float, p: float, adjusted: float, higher_is_better: bool, expected: str) -> None:
    assert standing(row(higher_is_better), difference(value, p, adjusted), 0.95) == expected


def test_every_sure_standing_has_its_own_mark() -> None:
    assert len(set(MARKS.values())) == len(MARKS)


def test_rows_and_models_in_reading_order() -> None:
    drawn = {name: draw_items(name, BENCHMARKS[name][2], 10, 0) for name in BENCHMARKS}
    comparison = compare(drawn, MODELS[::-1], sample_benchmarks(10), ComparisonSpec(resamples=50))
    assert [role for _, role in models_of(comparison)] == [
        Role.TARGET,
        Role.SOURCE,
        Role.SOURCE,
        Role.CONTROL,
        Role.FUSED,
    ]
    # only commonsense has two benchmarks to average
    averages = [r.capability for r in score_rows(comparison) if r.benchmark == AVERAGE]
    assert averages == ["commonsense"]
    assert {r.metric for r in likelihood_rows(comparison)} == {"bits_per_byte"}
