"""Data set and collator of training: windows and their teacher rows as batches of tensors.

W   windows       S   tokens of a window       R   rows of all windows, S - 1 of each
B   windows of a batch, padded to L tokens     K   entries of a row
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from fusion.errors import FusionError
from fusion.objective import IGNORED, SparseTeacher
from fusion.teacher_rows import TeacherRows

Windows = Sequence[NDArray[np.int32]]


class WindowDataset(Dataset[dict[str, NDArray[Any]]]):
    """Windows of the target's token ids and, if there is a teacher, its rows for each window."""

    def __init__(self, windows: Windows, teacher: TeacherRows | None) -> None:
        self.windows, self.teacher = windows, teacher
        if teacher is not None:
            _check_rows(windows, teacher.offsets)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, NDArray[Any]]:
        item: dict[str, NDArray[Any]] = {"input_ids": self.windows[index]}
        if self.teacher is not None:
            rows = slice(*self.teacher.offsets[index : index + 2])
            item["teacher_ids"] = self.teacher.ids[rows]
            item["teacher_probabilities"] = self.teacher.probabilities[rows]
            item["teacher_leftover"] = self.teacher.leftover[rows]
            item["teacher_kept"] = self.teacher.kept[rows]
        return item


def _check_rows(windows: Windows, offsets: NDArray[np.int64]) -> None:
    expected = np.array([max(len(w) - 1, 0) for w in windows])
    if len(offsets) != len(windows) + 1 or not np.array_equal(np.diff(offsets), expected):
        raise FusionError(
            "the teacher's rows do not belong to these windows: a window of S tokens needs S - 1 rows",
            remedy="compute the fused distributions again from the same windows and target tokenizer",
        )


@dataclass(frozen=True)
class Collator:
    """Pad a batch on the right. Labels are shifted: labels[t] = input_ids[t + 1], none at the last.

    Columns of the teacher that no row of the batch uses are dropped (at least one is kept): the rows of
    several sources together are wide and mostly empty.
    """

    pad_id: int

    def __call__(self, features: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, Tensor]:
        length = max(len(f["input_ids"]) for f in features)
        ids = _padded([f["input_ids"] for f in features], length, self.pad_id, np.int64)
        mask = _padded([np.ones(len(f["input_ids"])) for f in features], length, 0, np.int64)
        labels = _padded([f["input_ids"][1:] for f in features], length, IGNORED, np.int64)
        batch = {"input_ids": ids, "attention_mask": mask, "labels": labels, "shift_labels": labels}
        return batch | (_teacher_batch(features, length) if "teacher_ids" in features[0] else {})


def _teacher_batch(features: Sequence[Mapping[str, NDArray[Any]]], length: int) -> dict[str, Tensor]:
    """`teacher_*` tensors [B, L, ...] with int64 ids (-1 = no entry) and float32 probabilities."""

    def padded(name: str, fill: float, kind: Any) -> Tensor:
        return _padded([f[f"teacher_{name}"] for f in features], length, fill, kind)

    ids = _padded([_signed(f["teacher_ids"]) for f in features], length, -1, np.int64)
    used = (ids >= 0).flatten(0, 1).any(0)
    used[:1] = True
    return {
        "teacher_ids": ids[..., used],
        "teacher_probabilities": padded("probabilities", 0, np.float32)[..., used],
        "teacher_leftover": padded("leftover", 0, np.float32),
        "teacher_kept": padded("kept", 0, np.bool_),
    }


def _signed(ids: NDArray[Any]) -> NDArray[np.int64]:
    """Ids as `TeacherRows` stores them, with -1 for no entry."""
    wide = np.asarray(ids, np.int64)
    if ids.dtype.kind != "u":
        return wide
    return np.where(wide == np.iinfo(ids.dtype).max, -1, wide)


def _padded(arrays: Sequence[NDArray[Any]], length: int, fill: float, kind: Any) -> Tensor:
    out = np.full((len(arrays), length, *arrays[0].shape[1:]), fill, dtype=kind)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(out)


def sparse_teacher(batch: Mapping[str, Tensor]) -> SparseTeacher | None:
    """The teacher at a batch's B x L positions, as `fusion_loss` takes it; None if there is none."""
    if "teacher_ids" not in batch:
        return None
    return SparseTeacher(
        ids=batch["teacher_ids"].flatten(0, 1),
        probabilities=batch["teacher_probabilities"].flatten(0, 1),
        leftover=batch["teacher_leftover"].flatten(),
        kept=batch["teacher_kept"].flatten(),
    )


def tokens_read(batch: Mapping[str, Tensor]) -> Tensor:
    """The token just read at each of B x L positions, IGNORED at padding."""
    return batch["input_ids"].masked_fill(batch["attention_mask"] == 0, IGNORED).flatten()
