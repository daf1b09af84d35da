"""Items survive the disk exactly, and a failed write loses nothing."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.core.exceptions import InputError, StoreError
from harness.core.record import Item, metrics_of
from harness.core.run_files import read_items, write_items

# no lone surrogates: UTF-8 cannot carry them, and no tokenizer's decoder returns them
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
ITEMS = st.builds(
    Item,
    item=TEXT,
    task=TEXT,
    scores=st.dictionaries(st.sampled_from(["acc", "acc_norm", "pass@1", "exact_match,strict"]), FINITE),
    prediction=TEXT,
    gold=TEXT,
    prompt=TEXT,
    bits_per_byte=st.none() | FINITE,
    gold_bytes=st.none() | st.integers(0, 2**40),
    loglikelihoods=st.lists(FINITE, max_size=4).map(tuple),
    cluster=st.none() | TEXT,
)


def an_item(**changes: Any) -> Item:
    plain = Item(item="a", task="t", scores={"acc": 1.0}, prediction="x", gold="x", prompt="?")
    return plain.model_copy(update=changes)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=st.lists(ITEMS, max_size=6))
def test_what_is_read_equals_what_was_written(tmp_path: Path, items: list[Item]) -> None:
    write_items(tmp_path / "items.parquet", items)
    assert read_items(tmp_path / "items.parquet") == items


def test_columns_have_the_documented_names_and_types(tmp_path: Path) -> None:
    import pyarrow.parquet as parquet

    write_items(tmp_path / "i.parquet", [an_item(scores={"acc": 1.0, "pass@1": 0.5})])
    schema = parquet.read_schema(tmp_path / "i.parquet")
    assert dict(zip(schema.names, map(str, schema.types), strict=True)) == {
        "item": "string",
        "task": "string",
        "prediction": "string",
        "gold": "string",
        "prompt": "string",
        "bits_per_byte": "double",
        "gold_bytes": "int64",
        "loglikelihoods": "list<element: double>",
        "cluster": "string",
        "score.acc": "double",
        "score.pass@1": "double",
    }


@pytest.mark.parametrize("column", ["loglikelihoods", "cluster"])
def test_a_file_from_before_a_column_was_kept_is_still_read(tmp_path: Path, column: str) -> None:
    import pyarrow.parquet as parquet

    path = tmp_path / "items.parquet"
    write_items(path, [an_item(**{column: {"loglikelihoods": (-1.5, -2.0), "cluster": "p"}[column]})])
    parquet.write_table(parquet.read_table(path).drop([column]), path)
    assert read_items(path) == [an_item()]


def test_metrics_are_named_in_order_of_first_appearance() -> None:
    items = [an_item(scores={"b": 1.0}), an_item(scores={"a": 0.0, "b": 1.0})]
    assert metrics_of(items) == ("b", "a")


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no items at") as caught:
        read_items(tmp_path / "nowhere.parquet")
    assert caught.value.remedy


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    write_items(path, [an_item()])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"items\.parquet is not a complete parquet file"):
        read_items(path)


def test_a_full_disk_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as parquet

    path = tmp_path / "items.parquet"
    write_items(path, [an_item()])

    def full(_table: object, where: Path, **_: object) -> None:
        where.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parquet, "write_table", full)
    with pytest.raises(StoreError, match="No space left on device"):
        write_items(path, [])
    assert read_items(path) == [an_item()]
    assert list(tmp_path.iterdir()) == [path]
