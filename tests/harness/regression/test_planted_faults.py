"""Faults planted into the micro suite are caught by its committed baseline; another seed is not flagged.

One store holds an untouched run; each fault gets a copy of it (hard links) without the stages that the fault
touches, so that only these are computed again. Faults are planted here, never in the product's code.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.core.exceptions import NotComparableError
from harness.experiment import Finished, check_run, run_suite
from harness.pipeline.results_folder import Results
from harness.regression.check import RegressionVerdict
from harness.scoring.options import scoring_options
from harness.suite.load import bundled_folder, load_suite
from harness.suite.run_options import RunOptions
from tests.conftest import CHECKOUT, MadeOnce
from tests.harness.observers import Silent

pytestmark = [pytest.mark.slow, pytest.mark.minutes]

BASELINE = CHECKOUT / "results" / "baselines" / "micro.json"
FUSED = ("training/fused", "scoring/fused")
TRAINED = (*FUSED, "training/control", "scoring/control")
Plant = Callable[[pytest.MonkeyPatch], None]


def run_micro(results: Path, *overrides: str) -> Finished:
    loaded = load_suite("micro", ["tracking.enabled=false", *overrides])
    finished = run_suite(loaded, RunOptions(offline=True), Results(results), Silent())
    assert finished is not None
    return finished


def checked(results: Path, *overrides: str) -> RegressionVerdict:
    return check_run(run_micro(results, *overrides).folder, BASELINE)


@pytest.fixture(scope="module")
def untouched(made_once: MadeOnce) -> Path:
    return made_once("untouched_micro_run", run_micro)


def without(results: Path, folder: Path, stages: tuple[str, ...] = ()) -> Path:
    """A copy of the store that lacks these stages."""
    shutil.copytree(results / "store", folder / "store", copy_function=os.link)
    for stage in stages:
        shutil.rmtree(folder / "store" / stage)
    return folder


def loss_off_by_one(patch: pytest.MonkeyPatch) -> None:
    """Every position learns what the teacher expected one position earlier."""
    from harness.pipeline.steps.fused_rows import read_fused_rows

    def shifted(folder: Path) -> Any:
        rows = read_fused_rows(folder)
        names = ("ids", "probabilities", "leftover", "kept")
        return replace(rows, **{name: np.roll(getattr(rows, name), 1, axis=0) for name in names})

    patch.setattr("harness.pipeline.steps.train_target.read_fused_rows", shifted)


def vocabulary_map_shuffled(patch: pytest.MonkeyPatch) -> None:
    """Source tokens stand for target tokens that others stand for."""
    from fusion.vocabulary import map_exact

    def shuffled(*tables: Any) -> Any:
        found = map_exact(*tables)
        ids, mapped = found.target_ids.copy(), found.target_ids >= 0
        ids[mapped] = np.random.default_rng(0).permutation(ids[mapped])
        return replace(found, target_ids=ids)

    patch.setattr("fusion.vocabulary.map_exact", shuffled)


def teacher_ignored(patch: pytest.MonkeyPatch) -> None:
    """The fused rows are there, and nobody reads them."""
    patch.setattr("harness.pipeline.steps.train_target.read_fused_rows", lambda _: None)


def half_the_steps(patch: pytest.MonkeyPatch) -> None:
    """Fused and control alike are trained for half as long."""
    from fusion.training import train

    def hurried(*args: Any, arguments: dict[str, Any], **others: Any) -> Any:
        halved = arguments | {"num_train_epochs": arguments["num_train_epochs"] / 2}
        return train(*args, arguments=halved, **others)

    patch.setattr("fusion.training.train", hurried)


@pytest.mark.parametrize(
    ("plant", "stages"),
    [
        (loss_off_by_one, FUSED),
        (vocabulary_map_shuffled, (*FUSED, "vocabulary", "alignment", "fusion")),
        (teacher_ignored, FUSED),
        (half_the_steps, TRAINED),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_planted_fault_is_a_regression(
    untouched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Plant, stages: tuple[str, ...]
) -> None:
    results = without(untouched, tmp_path, stages)
    plant(monkeypatch)
    verdict = checked(results)
    print(verdict.text())
    assert verdict.exit_code == 1
    assert any("fell" in row.causes for row in verdict.rows)


def wrong_few_shot(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """The reasoning task is asked with two examples before each question."""
    tasks = shutil.copytree(bundled_folder() / "tasks", folder / "tasks")
    reasoning = tasks / "micro_reasoning.yaml"
    reasoning.write_text(
        reasoning.read_text().replace("num_fewshot: 0", "num_fewshot: 2\nfewshot_split: test")
    )
    original = scoring_options

    def elsewhere(*args: Any) -> Any:
        return replace(original(*args), task_folders=(tasks,))

    patch.setattr("harness.pipeline.graph.scoring_options", elsewhere)


def test_another_few_shot_is_not_comparable(
    untouched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No model is at fault, so nothing may be said of any; the other benchmarks are not named."""
    results = without(untouched, tmp_path)
    wrong_few_shot(monkeypatch, tmp_path)
    with pytest.raises(NotComparableError, match="micro_reasoning: task, data, few-shot or seed") as caught:
        checked(results)
    assert "micro_code" not in caught.value.message


def test_the_same_again_holds(untouched: Path, tmp_path: Path) -> None:
    """Where rounding differs from the machine of the baseline, answers may; abilities do not."""
    verdict = checked(without(untouched, tmp_path))
    print(verdict.text())
    assert verdict.exit_code == 0


def test_another_seed_is_not_flagged(untouched: Path, tmp_path: Path) -> None:
    """One of the trainings whose spread docs/ci.md gives."""
    verdict = checked(without(untouched, tmp_path), "seed=1")
    print(verdict.text())
    assert verdict.exit_code == 0
