"""What is told beside the numbers: departures from a preset, windows by offsets, code not run, fallbacks."""

from typing import Any

import pytest

from fusion.presets import PRESETS
from harness.comparison.compare import compare
from harness.pipeline.notes import run_notes, trainings_notes
from harness.suite.spec import ComparisonSpec, FusionSpec
from tests.harness.comparison.test_compare import TestTrainings, entry
from tests.harness.sample_run import sample_benchmarks


def notes(coverage: dict[str, dict[str, float]] | None = None, **fusion: Any) -> tuple[str, ...]:
    return run_notes(FusionSpec(**fusion), coverage or {}, [], {})


@pytest.mark.parametrize("name", [None, *PRESETS])
def test_a_method_that_is_a_presets_or_ones_own_needs_no_note(name: str | None) -> None:
    assert notes(paper=name, block_size=64) == ()
    assert notes(top_k=5) == ()


def test_a_departure_from_a_preset_is_told() -> None:
    (note,) = notes(paper="fusellm", alignment="end_byte", lm_loss_weight_end=0.5, temperature=1)
    assert note == (
        "fusion.paper is fusellm, but these keys differ from it: alignment is end_byte, not mined, "
        "lm_loss_weight_end is 0.5, not None."
    )


def test_windows_that_are_read_by_offsets_are_told() -> None:
    coverage = {"upper": {"by_offsets": 0.0}, "lower": {"by_offsets": 12.5}, "rare": {"by_offsets": 0.01}}
    note, rare = notes({**coverage, "old": {}})
    assert rare.startswith("rare: in less than 0.1 % of the windows")
    assert note.startswith("lower: in 12.5 % of the windows")
    assert "character offsets; em and mined still compare the tokens' own bytes" in note


def test_how_programs_were_run_is_told() -> None:
    (code,) = (b for b in sample_benchmarks(3) if b.executed)

    def told(executed: str) -> tuple[str, ...]:
        return run_notes(FusionSpec(), {}, [code.model_copy(update={"executed": executed})], {})

    (limited,) = told("subprocess")
    assert limited == "Model-written code ran in a limited, not isolated, subprocess (small_functions)."
    (reduced,) = told("reduced")
    assert "reduced sandbox (small_functions)" in reduced
    (refused,) = told("refused")
    assert "not run (small_functions)" in refused
    assert told("sandbox") == ()


def test_models_that_were_read_more_slowly_are_told() -> None:
    (note,) = run_notes(FusionSpec(), {}, [], {"recurrent": "reads by the plain strategy: mamba"})
    assert note == (
        "recurrent was scored by a slower method with the same results: it reads by the plain strategy: "
        "mamba."
    )


def test_languages_that_could_not_be_run_are_told_with_what_the_average_covers() -> None:
    (code,) = (b for b in sample_benchmarks(3) if b.executed)
    executed = {
        "e_cpp": "sandbox",
        "e_r": "no toolchain: R",
        "e_go": "sandbox",
        "e_rust": "no toolchain: Rust",
    }
    group = [
        code.model_copy(update={"capability": "code", "name": n, "executed": e}) for n, e in executed.items()
    ]
    (note,) = run_notes(FusionSpec(), {}, group, {})
    assert note == (
        "Not scored, because the language's toolchain is missing: e_r (R) and e_rust (Rust). The average of "
        "code covers e_cpp and e_go. `fusegauge doctor` says how to install what is missing."
    )


class TestSeeds:
    several = TestTrainings()

    def test_one_training_of_each_is_said_not_to_carry_a_claim(self) -> None:
        scored = {"b": self.several.SCORED}
        comparison = compare(scored, self.several.MODELS, [entry("b")], ComparisonSpec())
        (note,) = trainings_notes(comparison)
        assert note.startswith("Fused and control were trained once each.")
        assert "seeds: 3" in note

    def test_what_trainings_differ_by_is_told_and_which_claim_one_could_not_carry(self) -> None:
        """Lead 70 points, standard deviation 42.4 between two trainings: less than 1.96 of them."""
        spread, alone = trainings_notes(self.several.compared())
        assert "trained 2 times each" in spread
        assert "in points, is 42.4 on facts" in spread
        assert alone.startswith("A single training does not support a claim on facts")

    def test_where_nothing_was_trained_there_is_nothing_to_say(self) -> None:
        assert list(trainings_notes(compare({}, [], [], ComparisonSpec()))) == []
