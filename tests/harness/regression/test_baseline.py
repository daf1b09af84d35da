"""A baseline on disk: what it keeps, and what is refused when it is read."""

import json
from pathlib import Path

import pytest

from harness.core.exceptions import IncompleteError, InputError
from harness.core.record import Role
from harness.core.run_files import items_path, read_items, write_items
from harness.regression.baseline import read_baseline, save_baseline
from harness.regression.check import check
from tests.harness.sample_run import sample_run


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("baseline")
    save_baseline(sample_run(folder), folder, folder / "baseline.json")
    return folder / "baseline.json"


def test_keeps_scores_and_every_outcome(baseline: Path) -> None:
    kept = read_baseline(baseline)
    assert kept.version == 2
    assert kept.suite == "sample"
    capitals = kept.benchmarks["capitals"]
    assert capitals.metrics == ("acc_norm", "acc")
    assert len(capitals.items) == 60
    for role in (Role.TARGET, Role.CONTROL, Role.FUSED):
        outcomes = capitals.outcomes[role]["acc_norm"]
        assert len(outcomes) == 60
        assert capitals.scores[role]["acc_norm"] == pytest.approx(100 * sum(outcomes) / 60, abs=1e-4)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no baseline at") as caught:
        check(sample_run(tmp_path), tmp_path, tmp_path / "none.json")
    assert "fusegauge baseline save" in caught.value.remedy


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        "3",
        '{"version":2}',
        '{"version":2,"suite":"s","models":{},"benchmarks":[]}',
        "\xe9",
    ],
)
def test_damaged(tmp_path: Path, content: str) -> None:
    (tmp_path / "b.json").write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=r"b\.json is not a baseline: ") as caught:
        read_baseline(tmp_path / "b.json")
    assert "fusegauge baseline save" in caught.value.remedy
    assert "pydantic" not in str(caught.value)


def test_unreadable(tmp_path: Path) -> None:
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
    tmp_path: Path, baseline: Path, damage, message: str
) -> None:
    content = json.loads(baseline.read_text())
    damage(content["benchmarks"]["capitals"])
    (tmp_path / "b.json").write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        read_baseline(tmp_path / "b.json")
    assert message in caught.value.message


def test_of_another_version(tmp_path: Path, baseline: Path) -> None:
    newer = json.loads(baseline.read_text()) | {"version": 3}
    (tmp_path / "b.json").write_text(json.dumps(newer))
    with pytest.raises(InputError, match="baseline version 3, this program reads 2"):
        read_baseline(tmp_path / "b.json")


def test_settings_are_kept_by_what_they_are_not_by_where_it_lies(baseline: Path) -> None:
    settings = read_baseline(baseline).settings
    assert settings["training.learning_rate"] == 1e-3
    assert settings["sources.facts-neox.weights"] == b"facts-neox".hex().ljust(64, "0")
    assert not any(key.startswith(("seed", "tracking", "training.logging")) for key in settings)
    assert "models/" not in json.dumps(settings)


def test_an_incomplete_run_is_no_baseline(tmp_path: Path) -> None:
    record = sample_run(tmp_path)
    path = items_path(tmp_path, "capitals", "clm")
    write_items(path, read_items(path)[:-1])
    with pytest.raises(IncompleteError, match="capitals: clm has 59 of 60 items"):
        save_baseline(record, tmp_path, tmp_path / "b.json")
    assert not (tmp_path / "b.json").exists()
