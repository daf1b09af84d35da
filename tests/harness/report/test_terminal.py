"""The terminal table: every model and score, the marks, and 100 columns."""

from io import StringIO

import pytest
from rich.console import Console

from harness.comparison.compare import compare
from harness.core.record import Item, Role, RunRecord
from harness.report.terminal import render_comparison
from harness.suite.spec import ComparisonSpec
from tests.harness.sample_run import sample_run


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return sample_run(tmp_path_factory.mktemp("run"))


def shown(record: RunRecord, width: int = 100) -> str:
    console = Console(width=width, record=True, file=StringIO(), legacy_windows=False)
    console.print(render_comparison(record))
    return console.export_text()


def test_fits_100_columns_and_breaks_no_number(record: RunRecord) -> None:
    lines = shown(record).splitlines()
    assert max(map(len, lines)) <= 100
    table = "\n".join(lines)
    for row in record.comparison.rows:
        if row.headline:
            assert all(f"{cell.value:.1f}" in table for cell in row.cells)


def test_names_every_model_its_role_and_the_verdict(record: RunRecord) -> None:
    text = shown(record, width=300)
    for model in record.models:
        assert model.name in text
    for role in ("target before", "source", "control", "fused"):
        assert role in text
    assert record.comparison.verdict.sentence in " ".join(text.split())
    assert record.comparison.verdict.headline in " ".join(text.split())


def test_the_average_over_all_capabilities_comes_last(record: RunRecord) -> None:
    overall = record.comparison.overall
    assert overall is not None
    scores, differences = shown(record, width=300).split("Fused minus each model")
    assert all(f"{cell.value:.1f}" in scores.split("overall")[1] for cell in overall.cells)
    assert all(f"{d.low:+.1f}" in differences.split("overall")[1] for d in overall.differences)


def test_differences_carry_interval_and_mark(record: RunRecord) -> None:
    text = shown(record, width=300)
    row = next(r for r in record.comparison.rows if r.benchmark == "syllogisms" and r.headline)
    control = next(d for d in row.differences if d.role is Role.CONTROL)
    assert f"+{control.difference:.1f} ▲" in text
    assert f"+{control.low:.1f} to +{control.high:.1f}" in text
    assert "▼" in text  # facts-neox stays ahead on commonsense


def test_names_are_not_taken_for_markup(record: RunRecord) -> None:
    rows = [r.model_copy(update={"benchmark": "[bold]x"}) for r in record.comparison.rows[:1]]
    odd = record.model_copy(update={"comparison": record.comparison.model_copy(update={"rows": tuple(rows)})})
    assert "[bold]x" in shown(odd, width=300)


def test_without_a_fused_model_only_scores(record: RunRecord) -> None:
    item = Item(item="a", task="t", scores={"acc": 1.0}, prediction="", gold="", prompt="")
    benchmark = record.benchmarks[0]
    comparison = compare(
        {benchmark.name: {"clm": [item]}}, [("clm", Role.CONTROL)], [benchmark], ComparisonSpec(resamples=100)
    )
    text = shown(record.model_copy(update={"comparison": comparison}))
    assert "100.0" in text
    assert "Fused minus" not in text


def test_nothing_scored_is_said(record: RunRecord) -> None:
    comparison = compare({}, [], [], ComparisonSpec(resamples=100))
    assert shown(record.model_copy(update={"comparison": comparison})).strip() == "Nothing was scored."
