"""Datasets into a mirror: read back equal, whole or absent; what JSON cannot hold is refused by column."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.core.exceptions import InputError
from harness.data.mirror import DatasetRef, redirected
from harness.data.mirror_filling import fetch_from_hub, fill_mirror, write_dataset
from harness.scoring import ScoringOptions
from harness.scoring.benchmark_data import prepare_datasets
from harness.suite.load import load_suite

ROWS: list[dict[str, Any]] = [
    {
        "text": "naïve 漢字 🙂 \u2028 of\nlines",
        "answer": {"spans": ["a", "b"], "number": None},
        "label": 0,
    },
    {"text": "", "answer": {"spans": [], "number": "7"}, "label": None},
    {"text": None, "answer": {"spans": ["c"], "number": ""}, "label": 2**40},
]


def dataset(rows: list[dict[str, Any]]) -> Any:
    from datasets import Dataset, DatasetDict

    return DatasetDict({"train": Dataset.from_list(rows), "test": Dataset.from_list(rows[1:])})


def read(mirror: Path, path: str, name: str | None = None) -> Any:
    import datasets

    with redirected(ScoringOptions(mirror=mirror, offline=True)):
        return datasets.load_dataset(path, name)


@pytest.mark.parametrize("name", [None, "config"])
def test_what_is_written_is_read_back_equal(
    name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nested values, None, characters of every length in UTF-8 and separators that are no line ends."""
    monkeypatch.setattr("datasets.load_dataset", lambda *_: dataset(ROWS))
    written, problems = fill_mirror(tmp_path / "new", [DatasetRef("owner/data", name)])
    assert problems == []
    assert len(written) == 1
    found = read(tmp_path / "new", "owner/data", name)
    assert found["train"].to_list() == ROWS
    assert found["test"].to_list() == ROWS[1:]
    assert found["train"].features == dataset(ROWS)["train"].features


def test_a_mirror_that_lacks_nothing_is_made_all_the_same(tmp_path: Path) -> None:
    """The next command is given the same --mirror, and refuses a folder that is not there."""
    assert fill_mirror(tmp_path / "hub", []) == ([], [])
    assert (tmp_path / "hub").is_dir()


def failing_after(rows: int) -> Iterator[Mapping[str, Any]]:
    for i in range(rows):
        yield {"x": i}
    raise OSError("the disk broke")


def test_a_dataset_is_whole_or_absent(tmp_path: Path) -> None:
    folder = tmp_path / "owner" / "data" / "en"
    with pytest.raises(InputError, match="cannot write to the folder"):
        write_dataset(folder, {"test": [{"x": 1}], "train": failing_after(3)})
    assert list((tmp_path / "owner" / "data").iterdir()) == []


def test_a_dataset_without_configuration_lies_beside_configurations(tmp_path: Path) -> None:
    write_dataset(tmp_path / "owner/data/en", {"test": [{"x": 1}]})
    write_dataset(tmp_path / "owner/data", {"test": [{"x": 2}]})
    assert read(tmp_path, "owner/data", "en")["test"].to_list() == [{"x": 1}]
    assert read(tmp_path, "owner/data")["test"].to_list() == [{"x": 2}]


@pytest.mark.parametrize(
    ("value", "kind"), [(b"png", "bytes"), ([{"when": datetime(2024, 1, 1, tzinfo=UTC)}], "datetime")]
)
def test_what_json_cannot_hold_is_refused_by_its_column(tmp_path: Path, value: Any, kind: str) -> None:
    with pytest.raises(InputError, match=f"column 'odd' holds {kind}"):
        write_dataset(tmp_path / "owner/data", {"test": [{"fine": 1, "odd": value}]})
    assert list((tmp_path / "owner").iterdir()) == []


def test_a_loading_script_is_read_from_the_hubs_parquet(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(path: str, name: str | None = None, **others: Any) -> Any:
        if not others:
            raise RuntimeError("Dataset scripts are no longer supported, but found data.py")
        assert (path, name) == ("owner/data", None)
        return others

    monkeypatch.setattr("datasets.load_dataset", load)
    asked: list[Any] = [fetch_from_hub(DatasetRef("owner/data", name)) for name in ("en", None)]
    assert asked[0] == {"data_dir": "en", "revision": "refs/convert/parquet"}
    assert asked[1]["data_dir"] == "default"


def test_prepare_writes_what_the_mirror_lacks_and_leaves_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One dataset is there, one is fetched, one cannot be: the second is kept, the third named."""
    asked = []

    def load(path: str, *_: Any) -> Any:
        asked.append(path)
        if path == "owner/gone":
            raise ConnectionError("no route to the hub")
        return dataset(ROWS)

    wanted = [DatasetRef("owner/there", "main"), DatasetRef("owner/new", "en"), DatasetRef("owner/gone")]
    write_dataset(tmp_path / "owner/there/main", {"test": [{"x": 1}]})
    monkeypatch.setattr("harness.scoring.benchmark_data._wanted", lambda *_: wanted)
    monkeypatch.setattr("datasets.load_dataset", load)
    with pytest.raises(InputError, match="owner/gone cannot be fetched from the hub: no route") as caught:
        prepare_datasets(load_suite("pocket").suite, ScoringOptions(mirror=tmp_path))
    assert "owner/new (en): written to" in caught.value.message
    assert asked == ["owner/new", "owner/gone"]
    assert read(tmp_path, "owner/new", "en")["train"].to_list() == ROWS
    wanted.pop()
    assert prepare_datasets(load_suite("pocket").suite, ScoringOptions(mirror=tmp_path)) == []


def test_a_part_of_a_dataset_is_not_taken_for_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mirror knows configurations; what a task narrows further by files comes from the hub."""
    import datasets

    write_dataset(tmp_path / "owner/data", {"test": [{"x": 1}]})
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **others: others["data_files"])
    with redirected(ScoringOptions(mirror=tmp_path)):
        assert datasets.load_dataset("owner/data", data_files="part.json") == "part.json"
        assert list(datasets.load_dataset("owner/data")) == ["test"]


def test_a_column_of_several_types_is_named(tmp_path: Path) -> None:
    write_dataset(tmp_path / "owner/data", {"test": [{"x": {"y": 1}}, {"x": {"y": "one"}}]})
    with pytest.raises(InputError, match=r"test\.jsonl: a column holds values of several types"):
        read(tmp_path, "owner/data")
