"""Fused rows on disk: their format, the writer, and the reader that training uses.

    R   rows of all windows        K   entries of a row

Six .npy files, memory-mapped: offsets int64 [W + 1]; ids [R, K] uint16 where the target's vocabulary has at
most 65,535 tokens (65,535 = no entry), else int32 (-1 = no entry); probabilities float16 [R, K]; leftover
float16 [R]; kept bool [R]; winner int8 [R], the model with the largest weight (-1 = none). A row of 10
entries takes 44 bytes with uint16 ids.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusion.functions import Fused
    from fusion.teacher_rows import TeacherRows

NO_ENTRY = np.iinfo(np.uint16).max
_ARRAYS = ("offsets", "ids", "probabilities", "leftover", "kept")


class FusedRowsWriter:
    """Writes fused rows block by block, in order; `folder` must exist."""

    def __init__(self, folder: Path, offsets: "NDArray[np.int64]", width: int, vocabulary_size: int) -> None:
        rows = int(offsets[-1])
        np.save(folder / "offsets.npy", offsets)
        kind = np.uint16 if vocabulary_size <= NO_ENTRY else np.int32
        self.ids = _mapped(folder / "ids.npy", (rows, width), kind)
        self.probabilities = _mapped(folder / "probabilities.npy", (rows, width), np.float16)
        self.leftover = _mapped(folder / "leftover.npy", (rows,), np.float16)
        self.kept = _mapped(folder / "kept.npy", (rows,), np.bool_)
        self.winner = _mapped(folder / "winner.npy", (rows,), np.int8)

    def write(self, first: int, fused: "Fused") -> None:
        """Write rows from number `first` on; columns that they do not fill have no entry."""
        found = fused.distribution
        rows, width = slice(first, first + len(found.ids)), found.ids.shape[1]
        none = NO_ENTRY if self.ids.dtype == np.uint16 else -1
        self.ids[rows] = none
        self.ids[rows, :width] = np.where(found.ids < 0, none, found.ids)
        self.probabilities[rows] = 0
        self.probabilities[rows, :width] = found.probabilities
        self.leftover[rows] = found.leftover
        self.kept[rows] = found.kept
        self.winner[rows] = fused.winner

    def close(self) -> None:
        for array in (self.ids, self.probabilities, self.leftover, self.kept, self.winner):
            if isinstance(array, np.memmap):
                array.flush()


def read_fused_rows(folder: Path) -> "TeacherRows":
    """The rows, memory-mapped, so that a training loads only those of one batch at a time."""
    from fusion.teacher_rows import TeacherRows

    return TeacherRows(*(_read(folder / f"{name}.npy") for name in _ARRAYS))


def _read(path: Path) -> "NDArray[Any]":
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:  # an empty array cannot be mapped
        array = np.load(path, allow_pickle=False)
    return array


def _mapped(path: Path, shape: tuple[int, ...], kind: Any) -> "NDArray[Any]":
    from numpy.lib.format import open_memmap

    if 0 in shape:
        np.save(path, np.zeros(shape, kind))
        return np.zeros(shape, kind)
    return open_memmap(path, mode="w+", dtype=kind, shape=shape)
