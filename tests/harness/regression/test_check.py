"""The regression check: holds on equals, sees planted harm, refuses what cannot be compared."""

import json
from pathlib import Path

import pytest

from harness.core.record import Role, RunRecord
from harness.core.run_files import items_path, read_items, write_items
from harness.regression.baseline import save_baseline
from harness.regression.check import RegressionVerdict, check
from tests.harness.sample_run import BENCHMARKS, sample_run

FUSED = 4  # the fused model's place among the accuracies
CONTROL = 3


def accuracies(benchmark: str, **changes: float) -> dict[str, tuple[float, ...]]:
    """The sample's accuracies of one benchmark with those of fused or control replaced."""
    values = list(BENCHMARKS[benchmark][2])
    for name, value in changes.items():
        values[{"fused": FUSED, "control": CONTROL}[name]] = value
    return {benchmark: tuple(values)}


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("baseline")
    save_baseline(sample_run(folder), folder, folder / "baseline.json")
    return folder / "baseline.json"


def checked(folder: Path, baseline: Path, *tolerances: str, **changes: float) -> RegressionVerdict:
    record = sample_run(folder, accuracies=accuracies("capitals", **changes))
    return check(record, folder, baseline, tolerances)


def causes(verdict: RegressionVerdict) -> dict[str, tuple[str, ...]]:
    return {row.name: row.causes for row in verdict.rows if row.causes and row.kind == "benchmark"}


def test_the_same_run_holds(tmp_path: Path, baseline: Path) -> None:
    verdict = checked(tmp_path, baseline)
    assert verdict.exit_code == 0
    assert verdict.sentence == "Held: 4 benchmarks, none significantly worse than the baseline."
    assert all(row.difference == 0 and row.p_adjusted == 1 for row in verdict.rows)


def test_a_fused_model_that_fell_has_regressed(tmp_path: Path, baseline: Path) -> None:
    verdict = checked(tmp_path, baseline, fused=0.40)
    assert verdict.exit_code == 1
    assert causes(verdict) == {"capitals": ("fell", "lost its lead over the control")}
    assert verdict.sentence.startswith("Regressed: capitals fell and lost its lead")
    assert "capitals" in verdict.text()


def test_a_fall_within_the_tolerance_holds(tmp_path: Path, baseline: Path) -> None:
    assert checked(tmp_path, baseline, "60", fused=0.40).exit_code == 0


def test_a_lead_lost_to_a_better_control_has_regressed(tmp_path: Path, baseline: Path) -> None:
    verdict = checked(tmp_path, baseline, control=0.75)
    assert causes(verdict) == {"capitals": ("lost its lead over the control",)}
    assert verdict.exit_code == 1


def test_new_harm_against_the_control_has_regressed(tmp_path: Path, baseline: Path) -> None:
    record = sample_run(tmp_path, accuracies=accuracies("small_functions", control=0.95))
    verdict = check(record, tmp_path, baseline)
    assert causes(verdict) == {"small_functions": ("fell below its own control",)}


def test_harm_that_the_baseline_had_too_is_not_new(tmp_path: Path) -> None:
    record = sample_run(tmp_path, accuracies=accuracies("small_functions", control=0.95))
    save_baseline(record, tmp_path, tmp_path / "b.json")
    assert check(record, tmp_path, tmp_path / "b.json").exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize(("scores", "code"), [((8.0, 9.0), 1), ((9.0, 8.0), 0)])
def test_where_lower_is_better_a_rise_is_what_regresses(
    tmp_path: Path, scores: tuple[float, float], code: int
) -> None:
    """Fused then and now on every item; the control stays at 10, so that the lead changes by as much."""
    (then, path_then), (now, path_now) = (_of_perplexity(tmp_path / str(s), s) for s in scores)
    save_baseline(then, path_then, tmp_path / "b.json")
    verdict = check(now, path_now, tmp_path / "b.json")
    row = verdict.rows[0]
    assert (verdict.exit_code, row.unit, row.baseline, row.now) == (code, "score", *scores)
    assert row.lead_baseline == scores[0] - 10
    assert row.causes == (("fell",) if code else ())
    assert ("improved" in verdict.sentence) == (code == 0)
    assert f"{scores[0]:.3f} -> {scores[1]:.3f} (" in verdict.text()
    assert "points" not in verdict.text()


def _of_perplexity(folder: Path, fused: float) -> tuple[RunRecord, Path]:
    """The sample with one benchmark, whose metric is a perplexity."""
    folder.mkdir()
    record = sample_run(folder)
    entry = record.benchmarks[0].model_copy(update={"metrics": ("perplexity",)})
    for model in record.models:
        path = items_path(folder, entry.name, model.name)
        score = {"perplexity": fused if model.role is Role.FUSED else 10.0}
        write_items(path, [i.model_copy(update={"scores": score}) for i in read_items(path)])
    return record.model_copy(update={"benchmarks": (entry,)}), folder


def test_an_improvement_is_told(tmp_path: Path, baseline: Path) -> None:
    verdict = checked(tmp_path, baseline, fused=0.98)
    assert verdict.exit_code == 0
    assert verdict.sentence.endswith("capitals and commonsense improved.")
    assert verdict.save == f"fusegauge baseline save sample-20260102-030405 --to {baseline}"
    assert verdict.save in verdict.text()


@pytest.mark.slow
def test_the_order_of_items_on_disk_does_not_matter(tmp_path: Path, baseline: Path) -> None:
    record = sample_run(tmp_path)
    path = items_path(tmp_path, "capitals", "fused")
    write_items(path, read_items(path)[::-1])
    save_baseline(record, tmp_path, tmp_path / "b.json")
    assert (tmp_path / "b.json").read_bytes() == baseline.read_bytes()


def test_a_capability_falls_by_what_none_of_its_benchmarks_shows(tmp_path: Path, baseline: Path) -> None:
    """Two benchmarks of 60 items that fall alike: 120 items show what 60 do not."""
    lower = accuracies("capitals", fused=0.60) | accuracies("materials", fused=0.59)
    verdict = check(sample_run(tmp_path, accuracies=lower), tmp_path, baseline)
    fell = {(row.kind, row.name): "fell" in row.causes for row in verdict.rows}
    assert fell["capability", "commonsense"]
    assert not fell["benchmark", "capitals"] and not fell["benchmark", "materials"]
    assert verdict.exit_code == 1
    assert "commonsense fell" in verdict.sentence


def test_a_capabilitys_average_counts_its_benchmarks_the_same(tmp_path: Path, baseline: Path) -> None:
    rows = {row.name: row for row in checked(tmp_path, baseline, fused=0.5).rows}
    mean = (rows["capitals"].difference + rows["materials"].difference) / 2
    assert rows["commonsense"].difference == pytest.approx(mean)
    assert rows["commonsense"].n == rows["capitals"].n + rows["materials"].n


def test_a_capability_of_one_benchmark_is_that_benchmark_judged_once(tmp_path: Path, baseline: Path) -> None:
    record = sample_run(tmp_path, accuracies=accuracies("syllogisms", fused=0.1))
    verdict = check(record, tmp_path, baseline, ("syllogisms=5",))
    rows = {row.name: row for row in verdict.rows}
    assert rows["reasoning"].same_as == "syllogisms"
    assert rows["reasoning"].causes == rows["syllogisms"].causes != ()
    assert rows["reasoning"].tolerance == 5
    assert "reasoning" not in verdict.sentence  # said once


@pytest.mark.parametrize(
    ("tolerances", "code"), [((), 1), (("40",), 0), (("capitals=40",), 1), (("commonsense=40",), 0)]
)
def test_a_tolerance_holds_where_it_was_given(
    tmp_path: Path, baseline: Path, tolerances: tuple[str, ...], code: int
) -> None:
    """Fused falls from 0.72 to 0.40 on capitals, so its capability falls by half of that."""
    verdict = checked(tmp_path, baseline, *tolerances, fused=0.40)
    assert verdict.exit_code == code
    commonsense = next(row for row in verdict.rows if row.name == "commonsense")
    assert ("fell" in commonsense.causes) == bool(code)


def test_a_fall_that_may_be_within_the_tolerance_is_no_regression(tmp_path: Path, baseline: Path) -> None:
    """The fall is significant and larger than the tolerance, but not significantly larger."""
    fell = checked(tmp_path, baseline, fused=0.40)
    by = -next(row.difference for row in fell.rows if row.name == "capitals")
    verdict = checked(tmp_path, baseline, f"{by - 3}", fused=0.40)
    row = next(row for row in verdict.rows if row.name == "capitals")
    assert row.difference < -row.tolerance and row.p_adjusted < 0.01
    assert row.p_beyond > 0.05 and row.causes == ()


def test_what_the_baseline_does_not_have_is_told_and_not_judged(tmp_path: Path, baseline: Path) -> None:
    content = json.loads(baseline.read_text())
    del content["benchmarks"]["materials"]
    content["benchmarks"]["syllogisms"] |= {
        "metrics": [],
        "outcomes": {role: {} for role in content["models"]},
    }
    (tmp_path / "b.json").write_text(json.dumps(content))
    verdict = check(sample_run(tmp_path), tmp_path, tmp_path / "b.json")
    assert {u.name: u.reason for u in verdict.unjudged} == {
        "materials": "it is not in the baseline",
        "syllogisms": "the baseline has no scores for it",
    }
    assert {row.name for row in verdict.rows} == {"capitals", "small_functions", "commonsense", "code"}
    assert "materials: not judged" in verdict.text()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_another_training_of_equal_quality_is_not_flagged(tmp_path: Path, seed: int) -> None:
    """Fused and control are drawn anew with unchanged abilities on unchanged items."""
    first, second = tmp_path / "a", tmp_path / "b"
    save_baseline(sample_run(first, seed=seed), first, tmp_path / "b.json")
    again = sample_run(second, seed=seed, luck=1)
    assert check(again, second, tmp_path / "b.json").exit_code == 0
