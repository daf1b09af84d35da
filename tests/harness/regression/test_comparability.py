"""What keeps a check from judging: incomplete runs, other items, other settings; each named, all at once."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.core.exceptions import IncompleteError, InputError, NotComparableError
from harness.core.record import Role, RunRecord
from harness.core.run_files import items_path, read_items, write_items
from harness.regression.baseline import save_baseline
from harness.regression.check import check
from tests.harness.sample_run import sample_run


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("baseline")
    save_baseline(sample_run(folder), folder, folder / "baseline.json")
    return folder / "baseline.json"


def refuse(folder: Path, baseline: Path, record: RunRecord) -> str:
    with pytest.raises(NotComparableError) as caught:
        check(record, folder, baseline)
    assert caught.value.exit_code == 3
    assert caught.value.remedy
    return caught.value.message


def test_other_items(tmp_path: Path, baseline: Path) -> None:
    record = sample_run(tmp_path)
    for model in ("tiny-llama", "clm", "fused"):
        path = items_path(tmp_path, "capitals", model)
        write_items(path, read_items(path)[:-2])
    fewer = [b.model_copy(update={"items": 58}) if b.name == "capitals" else b for b in record.benchmarks]
    record = record.model_copy(update={"benchmarks": tuple(fewer)})
    message = refuse(tmp_path, baseline, record)
    assert "capitals: 0 items are only in this run, 2 only in the baseline" in message


def test_other_fingerprints_and_missing_benchmarks_are_all_named(tmp_path: Path, baseline: Path) -> None:
    record = sample_run(tmp_path)
    first, second, *others = record.benchmarks
    changed = first.model_copy(update={"fingerprint": "other"})
    record = record.model_copy(update={"benchmarks": (changed, *others)})
    message = refuse(tmp_path, baseline, record)
    assert f"{first.name}: task, data, few-shot or seed differ" in message
    assert f"{second.name} was not scored in this run" in message


def test_another_suite(tmp_path: Path, baseline: Path) -> None:
    record = sample_run(tmp_path)
    record = record.model_copy(update={"suite": record.suite | {"name": "other"}})
    assert "suite is 'other' in this run, 'sample' in the baseline" in refuse(tmp_path, baseline, record)


def with_setting(record: RunRecord, part: str, key: str, value: Any) -> RunRecord:
    changed = record.suite[part] | {key: value}
    return record.model_copy(update={"suite": record.suite | {part: changed}})


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        ("fusion", "lm_loss_weight", 0.5, "fusion.lm_loss_weight is 0.5 in this run, 0.9 in the baseline"),
        ("training", "max_steps", 200, "training.max_steps is 200 in this run, 400 in the baseline"),
        ("training", "warmup_steps", 10, "training.warmup_steps is 10 in this run, not set in the baseline"),
        ("scoring", "dtype", "bfloat16", "scoring.dtype is bfloat16 in this run, float32 in the baseline"),
        ("target", "bos", True, "target.bos is True in this run, None in the baseline"),
    ],
)
def test_another_setting_is_not_comparable_unless_it_is_what_is_tested(
    tmp_path: Path, baseline: Path, part: str, key: str, value: Any, message: str
) -> None:
    record = with_setting(sample_run(tmp_path), part, key, value)
    assert message in refuse(tmp_path, baseline, record)
    for vary in (f"{part}.{key}", part):
        verdict = check(record, tmp_path, baseline, vary=(vary,))
        assert verdict.varied == (message,)
        assert f"setting under test: {message}" in verdict.text()


@pytest.mark.parametrize(
    "free",
    [
        lambda r: r.model_copy(update={"seed": 7, "suite": r.suite | {"seed": 7}}),
        lambda r: r.model_copy(update={"versions": {"torch": "9"}, "hardware": {}}),
        lambda r: with_setting(r, "scoring", "batch_size", 99),
        lambda r: with_setting(r, "scoring", "device", "cuda"),
        lambda r: with_setting(r, "training", "logging_steps", 3),
        lambda r: with_setting(r, "fusion", "extraction_batch_tokens", 99),
        lambda r: with_setting(r, "target", "model", "elsewhere"),
    ],
)
def test_seed_versions_and_places_may_differ(
    tmp_path: Path, baseline: Path, free: Callable[[RunRecord], RunRecord]
) -> None:
    assert check(free(sample_run(tmp_path)), tmp_path, baseline).exit_code == 0


def test_other_weights_and_documents_are_named(tmp_path: Path, baseline: Path) -> None:
    record = sample_run(tmp_path)
    models = [
        m.model_copy(update={"fingerprint": "f" * 64}) if m.name == "facts-neox" else m for m in record.models
    ]
    corpus, *stages = record.stages
    changed = corpus.model_copy(update={"facts": corpus.facts | {"fingerprint": "other"}})
    record = record.model_copy(update={"models": tuple(models), "stages": (changed, *stages)})
    message = refuse(tmp_path, baseline, record)
    assert "sources.facts-neox.weights is ffffffffffff… in this run, " in message
    assert "corpus.content is other in this run" in message


def test_fused_and_control_may_have_any_weights(tmp_path: Path, baseline: Path) -> None:
    record = sample_run(tmp_path)
    trained = (Role.CONTROL, Role.FUSED)
    models = [m.model_copy(update={"fingerprint": "0"}) if m.role in trained else m for m in record.models]
    assert check(record.model_copy(update={"models": tuple(models)}), tmp_path, baseline).exit_code == 0


def test_a_setting_to_vary_that_does_not_exist_is_misuse(tmp_path: Path, baseline: Path) -> None:
    with pytest.raises(
        InputError, match=r"--vary fusion.top_n: no such setting \(did you mean 'fusion.top_k'"
    ):
        check(sample_run(tmp_path), tmp_path, baseline, vary=("fusion.top_n",))


def incomplete(folder: Path, baseline: Path, record: RunRecord) -> str:
    with pytest.raises(IncompleteError) as caught:
        check(record, folder, baseline)
    assert caught.value.exit_code == 4
    return caught.value.message


def test_a_run_without_all_its_items_is_incomplete(tmp_path: Path, baseline: Path) -> None:
    record = sample_run(tmp_path)
    path = items_path(tmp_path, "capitals", "fused")
    write_items(path, read_items(path)[:-2])
    items_path(tmp_path, "materials", "clm").unlink()
    message = incomplete(tmp_path, baseline, record)
    assert "capitals: fused has 58 of 60 items" in message
    assert "materials: clm has 0 of 60 items" in message


@pytest.mark.parametrize("executed", ["refused", "no toolchain: java"])
def test_code_that_was_not_run_is_incomplete_though_its_fingerprint_differs_too(
    tmp_path: Path, baseline: Path, executed: str
) -> None:
    record = unexecuted(sample_run(tmp_path), tmp_path, executed)
    message = incomplete(tmp_path, baseline, record)
    assert (
        f"small_functions: the baseline has pass@1, this run has no scores (programs: {executed})" in message
    )


def unexecuted(record: RunRecord, folder: Path, executed: str) -> RunRecord:
    """The run as it is where code is not executed: items without scores, and another fingerprint."""
    for model in record.models:
        path = items_path(folder, "small_functions", model.name)
        write_items(path, [item.model_copy(update={"scores": {}}) for item in read_items(path)])
    changed: Sequence[Any] = [
        b.model_copy(update={"executed": executed, "fingerprint": executed})
        if b.name == "small_functions"
        else b
        for b in record.benchmarks
    ]
    return record.model_copy(update={"benchmarks": tuple(changed)})


def test_code_that_was_not_run_for_the_baseline_either_is_not_asked_for(tmp_path: Path) -> None:
    record = unexecuted(sample_run(tmp_path), tmp_path, "refused")
    save_baseline(record, tmp_path, tmp_path / "b.json")
    verdict = check(record, tmp_path, tmp_path / "b.json")
    assert verdict.exit_code == 0
    assert [u.name for u in verdict.unjudged] == ["small_functions"]
