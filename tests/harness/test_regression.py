"""The regression check: holds on equals, sees planted harm, refuses what cannot be compared."""

import json
from pathlib import Path

import pytest

from harness.baseline import read_baseline
from harness.errors import InputError, NotComparableError
from harness.items import items_path, read_items, write_items
from harness.regression import RegressionVerdict, check, save_baseline
from harness.results import Role, RunRecord
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


def checked(folder: Path, baseline: Path, tolerance: float = 0.0, **changes: float) -> RegressionVerdict:
    record = sample_run(folder, accuracies=accuracies("capitals", **changes))
    return check(record, folder, baseline, tolerance)


def causes(verdict: RegressionVerdict) -> dict[str, tuple[str, ...]]:
    return {row.benchmark: row.causes for row in verdict.rows if row.causes}


def test_the_same_run_holds(tmp_path: Path, baseline: Path) -> None:
    verdict = checked(tmp_path, baseline)
    assert verdict.exit_code == 0
    assert verdict.sentence == "Held: 4 benchmarks, none surely worse than the baseline."
    assert all(row.difference == 0 and row.p_adjusted == 1 for row in verdict.rows)


def test_a_fused_model_that_fell_has_regressed(tmp_path: Path, baseline: Path) -> None:
    verdict = checked(tmp_path, baseline, fused=0.40)
    assert verdict.exit_code == 1
    assert causes(verdict) == {"capitals": ("fell", "lost its lead over the control")}
    assert verdict.sentence.startswith("Regressed: capitals fell and lost its lead")
    assert "capitals" in verdict.text()


def test_a_fall_within_the_tolerance_holds(tmp_path: Path, baseline: Path) -> None:
    assert checked(tmp_path, baseline, tolerance=60.0, fused=0.40).exit_code == 0


def test_a_lead_lost_to_a_better_control_has_regressed(tmp_path: Path, baseline: Path) -> None:
    verdict = checked(tmp_path, baseline, control=0.75)
    assert causes(verdict) == {"capitals": ("lost its lead over the control",)}
    assert verdict.exit_code == 1


def test_new_harm_against_the_control_has_regressed(tmp_path: Path, baseline: Path) -> None:
    record = sample_run(tmp_path, accuracies=accuracies("small_functions", control=0.95))
    verdict = check(record, tmp_path, baseline, 0.0)
    assert causes(verdict) == {"small_functions": ("worse than its own control",)}


def test_harm_that_the_baseline_had_too_is_not_new(tmp_path: Path) -> None:
    record = sample_run(tmp_path, accuracies=accuracies("small_functions", control=0.95))
    save_baseline(record, tmp_path, tmp_path / "b.json")
    assert check(record, tmp_path, tmp_path / "b.json", 0.0).exit_code == 0


@pytest.mark.parametrize(("scores", "code"), [((8.0, 9.0), 1), ((9.0, 8.0), 0)])
def test_where_lower_is_better_a_rise_is_what_regresses(
    tmp_path: Path, scores: tuple[float, float], code: int
) -> None:
    """Fused then and now on every item; the control stays at 10, so that the lead changes by as much."""
    (then, path_then), (now, path_now) = (_of_perplexity(tmp_path / str(s), s) for s in scores)
    save_baseline(then, path_then, tmp_path / "b.json")
    verdict = check(now, path_now, tmp_path / "b.json", 0.0)
    (row,) = verdict.rows
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
    assert "capitals improved: save a new baseline" in verdict.sentence


def test_the_order_of_items_on_disk_does_not_matter(tmp_path: Path, baseline: Path) -> None:
    record = sample_run(tmp_path)
    path = items_path(tmp_path, "capitals", "fused")
    write_items(path, read_items(path)[::-1])
    save_baseline(record, tmp_path, tmp_path / "b.json")
    assert (tmp_path / "b.json").read_bytes() == baseline.read_bytes()


class TestNotComparable:
    @staticmethod
    def refuse(folder: Path, baseline: Path, record: RunRecord) -> str:
        with pytest.raises(NotComparableError) as caught:
            check(record, folder, baseline, 0.0)
        assert caught.value.exit_code == 3
        assert caught.value.remedy
        return caught.value.message

    def test_other_items(self, tmp_path: Path, baseline: Path) -> None:
        record = sample_run(tmp_path)
        for model in ("tiny-llama", "clm", "fused"):
            path = items_path(tmp_path, "capitals", model)
            write_items(path, read_items(path)[:-2])
        message = self.refuse(tmp_path, baseline, record)
        assert "capitals: 0 items are only in this run, 2 only in the baseline" in message

    def test_other_fingerprints_and_missing_benchmarks_are_all_named(
        self, tmp_path: Path, baseline: Path
    ) -> None:
        record = sample_run(tmp_path)
        first, second, *others = record.benchmarks
        changed = first.model_copy(update={"fingerprint": "other"})
        record = record.model_copy(update={"benchmarks": (changed, *others)})
        message = self.refuse(tmp_path, baseline, record)
        assert f"{first.name}: task, data, few-shot or seed differ" in message
        assert f"{second.name} was not scored in this run" in message

    def test_another_suite(self, tmp_path: Path, baseline: Path) -> None:
        record = sample_run(tmp_path)
        record = record.model_copy(update={"suite": record.suite | {"name": "other"}})
        assert "suite is 'other' now, 'sample' there" in self.refuse(tmp_path, baseline, record)


class TestBaselineFile:
    def test_keeps_scores_and_every_outcome(self, baseline: Path) -> None:
        kept = read_baseline(baseline)
        assert kept["version"] == 1
        assert kept["suite"] == "sample"
        capitals = kept["benchmarks"]["capitals"]
        assert capitals["metrics"] == ["acc_norm", "acc"]
        assert len(capitals["items"]) == 60
        for role in ("target", "control", "fused"):
            outcomes = capitals["outcomes"][role]["acc_norm"]
            assert len(outcomes) == 60
            assert capitals["scores"][role]["acc_norm"] == pytest.approx(100 * sum(outcomes) / 60, abs=1e-4)

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no baseline at") as caught:
            check(sample_run(tmp_path), tmp_path, tmp_path / "none.json", 0.0)
        assert "fusegauge baseline save" in caught.value.remedy

    @pytest.mark.parametrize(
        "content",
        [
            "{",
            "[]",
            "{}",
            "3",
            '{"version":1}',
            '{"version":1,"suite":"s","models":{},"benchmarks":[]}',
            "\xe9",
        ],
    )
    def test_damaged(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "b.json").write_text(content, encoding="latin-1")
        with pytest.raises(InputError, match=r"b\.json is not a baseline: ") as caught:
            read_baseline(tmp_path / "b.json")
        assert "fusegauge baseline save" in caught.value.remedy
        assert "pydantic" not in str(caught.value)

    def test_unreadable(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="cannot read the baseline"):
            read_baseline(tmp_path)

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            (lambda b: b.pop("fingerprint"), "benchmarks.capitals.fingerprint"),
            (lambda b: b["items"].pop(), "target has 60 outcomes of acc_norm for 59 items"),
            (lambda b: b["outcomes"]["fused"].pop("acc"), "fused has no outcomes of acc"),
            (lambda b: b["outcomes"].pop("fused"), "no outcomes of fused"),
            (lambda b: b["outcomes"]["fused"]["acc"].insert(0, "x"), "outcomes.fused.acc.0"),
        ],
    )
    def test_damaged_inside(  # type: ignore[no-untyped-def]
        self, tmp_path: Path, baseline: Path, damage, message: str
    ) -> None:
        content = json.loads(baseline.read_text())
        damage(content["benchmarks"]["capitals"])
        (tmp_path / "b.json").write_text(json.dumps(content))
        with pytest.raises(InputError) as caught:
            read_baseline(tmp_path / "b.json")
        assert message in caught.value.message

    def test_of_another_version(self, tmp_path: Path, baseline: Path) -> None:
        newer = json.loads(baseline.read_text()) | {"version": 2}
        (tmp_path / "b.json").write_text(json.dumps(newer))
        with pytest.raises(InputError, match="baseline version 2, this program reads 1"):
            read_baseline(tmp_path / "b.json")


@pytest.mark.parametrize("seed", range(6))
def test_another_training_of_equal_quality_is_not_flagged(tmp_path: Path, seed: int) -> None:
    """Fused and control are drawn anew with unchanged abilities on unchanged items."""
    first, second = tmp_path / "a", tmp_path / "b"
    save_baseline(sample_run(first, seed=seed), first, tmp_path / "b.json")
    again = sample_run(second, seed=seed, luck=1)
    assert check(again, second, tmp_path / "b.json", 0.0).exit_code == 0
