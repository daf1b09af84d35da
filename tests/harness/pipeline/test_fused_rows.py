"""Fused rows on disk are those that were fused, in whatever blocks they were written."""

from pathlib import Path

import numpy as np
import pytest

from fusion.functions import Fused
from fusion.projection import Projected
from harness.pipeline.steps.fused_rows import NO_ENTRY, FusedRowsWriter, read_fused_rows

OFFSETS = np.array([0, 2, 2, 5])
ROWS = Fused(
    Projected(
        np.array([[7, 2], [3, -1], [-1, -1], [9, 1], [4, 5]], np.int32),
        np.array([[0.5, 0.25], [0.75, 0], [0, 0], [0.5, 0.5], [0.25, 0.125]], np.float32),
        np.array([0.25, 0.25, 1, 0, 0.625], np.float32),
    ),
    np.array([0, 1, -1, 1, 1], np.int8),
    np.array([0.25, 0.75]),
)


def part(start: int, stop: int, width: int = 2) -> Fused:
    whole, here = ROWS.distribution, slice(start, stop)
    rows = Projected(whole.ids[here, :width], whole.probabilities[here, :width], whole.leftover[here])
    return Fused(rows, ROWS.winner[here], ROWS.share)


@pytest.mark.parametrize(
    ("vocabulary", "kind", "none"), [(65_535, np.uint16, NO_ENTRY), (65_536, np.int32, -1)]
)
def test_written_in_blocks_and_read_back(tmp_path: Path, vocabulary: int, kind: type, none: int) -> None:
    writer = FusedRowsWriter(tmp_path, OFFSETS, 3, vocabulary)
    writer.write(0, part(0, 2))
    writer.write(2, part(2, 5))
    writer.close()
    rows = read_fused_rows(tmp_path)
    assert rows.ids.dtype == kind and rows.ids.shape == (5, 3)
    expected = np.where(ROWS.distribution.ids < 0, none, ROWS.distribution.ids)
    np.testing.assert_array_equal(rows.ids[:, :2], expected)
    assert (rows.ids[:, 2] == none).all() and (rows.probabilities[:, 2] == 0).all()
    np.testing.assert_array_equal(rows.probabilities[:, :2], ROWS.distribution.probabilities)
    np.testing.assert_array_equal(rows.leftover, ROWS.distribution.leftover)
    assert rows.kept.tolist() == [True, True, False, True, True]
    assert rows.offsets.tolist() == OFFSETS.tolist()
    np.testing.assert_array_equal(np.load(tmp_path / "winner.npy"), ROWS.winner)


def test_narrow_rows_leave_no_entry_behind(tmp_path: Path) -> None:
    writer = FusedRowsWriter(tmp_path, OFFSETS, 2, 100)
    writer.write(0, part(0, 5))
    writer.write(3, part(3, 5, width=1))
    writer.close()
    assert read_fused_rows(tmp_path).ids[3:, 1].tolist() == [NO_ENTRY, NO_ENTRY]


def test_no_rows(tmp_path: Path) -> None:
    writer = FusedRowsWriter(tmp_path, np.zeros(1, np.int64), 2, 100)
    writer.close()
    assert read_fused_rows(tmp_path).ids.shape == (0, 2)
