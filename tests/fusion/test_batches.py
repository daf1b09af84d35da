"""Batches hold what the windows' rows say, however wide and in whatever types the rows are kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fusion.batches import Collator, WindowDataset, tokens_read
from fusion.errors import FusionError
from fusion.teacher_rows import TeacherRows
from tests.fusion.toy_training import rows, windows

W = [np.array(w, np.int32) for w in ([5, 6, 7], [8, 9])]
OFFSETS = np.array([0, 2, 3])


def teacher(ids: NDArray[Any], kind: type = np.float32) -> TeacherRows:
    n = len(ids)
    mass: NDArray[Any] = np.where((ids >= 0) & (ids < 65_535), 0.25, 0).astype(kind)
    return TeacherRows(OFFSETS, ids, mass, (1 - mass.sum(1)).astype(kind), np.ones(n, np.bool_))


def collated(rows: TeacherRows) -> dict[str, torch.Tensor]:
    data = WindowDataset(W, rows)
    return Collator(pad_id=1)([data[i] for i in range(len(data))])


SIGNED = np.array([[3, -1, 4, -1], [-1, -1, 0, -1], [7, -1, -1, -1]], np.int32)


def test_labels_are_the_next_tokens_and_padding_has_none() -> None:
    batch = collated(teacher(SIGNED))
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 1]]
    assert batch["labels"].tolist() == [[6, 7, -100], [9, -100, -100]]
    assert tokens_read(batch).tolist() == [5, 6, 7, 8, 9, -100]
    assert batch["teacher_kept"].tolist() == [[True, True, False], [True, False, False]]


def test_columns_that_no_row_of_the_batch_fills_are_left_out() -> None:
    batch = collated(teacher(SIGNED))
    assert batch["teacher_ids"][0].tolist() == [[3, 4], [-1, 0], [-1, -1]]
    assert batch["teacher_ids"][1].tolist() == [[7, -1], [-1, -1], [-1, -1]]
    assert batch["teacher_probabilities"][0].tolist() == [[0.25, 0.25], [0, 0.25], [0, 0]]


def test_a_batch_without_any_entry_keeps_one_column() -> None:
    assert collated(teacher(np.full((3, 4), -1, np.int32)))["teacher_ids"].shape == (2, 3, 1)


def test_unsigned_ids_and_half_precision_say_the_same() -> None:
    narrow = np.where(SIGNED < 0, 65_535, SIGNED).astype(np.uint16)
    wide, short = collated(teacher(SIGNED)), collated(teacher(narrow, np.float16))
    assert wide.keys() == short.keys()
    for name in wide:
        assert wide[name].dtype == short[name].dtype
        assert torch.equal(wide[name], short[name]), name


def test_mapped_arrays_stay_mapped(tmp_path: Path) -> None:
    """An item is a view into the file: nothing is read before the batch is."""
    np.save(tmp_path / "ids.npy", SIGNED)
    mapped = np.load(tmp_path / "ids.npy", mmap_mode="r")
    item = WindowDataset(W, TeacherRows(OFFSETS, mapped, *_others()))[0]
    assert isinstance(item["teacher_ids"], np.memmap) and np.shares_memory(item["teacher_ids"], mapped)


def _others() -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    t = teacher(SIGNED)
    return t.probabilities, t.leftover, t.kept


def test_rows_of_other_windows_are_refused() -> None:
    with pytest.raises(FusionError, match="do not belong to these windows"):
        WindowDataset(windows(seed=0), rows(windows(seed=3)))
