"""The peak of a stage is its own, not that of what ran before it in the same process."""

import sys

import numpy as np
import pytest

from harness.pipeline.runner import RESET, forget_peak, peak_memory

pytestmark = pytest.mark.skipif(not RESET.exists(), reason="only Linux tells")
BLOCK = 60_000_000  # bytes, well above what an interpreter moves by itself


def held_after(bytes_held: int) -> int:
    forget_peak()
    np.ones(bytes_held // 8).sum()  # touched, and let go again
    return peak_memory()["peak_memory_bytes"]


def test_what_was_held_is_seen_though_it_was_let_go() -> None:
    assert held_after(BLOCK) - held_after(0) > 0.8 * BLOCK


def test_an_earlier_peak_is_forgotten() -> None:
    before = held_after(BLOCK)
    assert held_after(0) < before - 0.8 * BLOCK


def test_without_a_device_none_is_told() -> None:
    if "torch" not in sys.modules:
        assert set(peak_memory()) == {"peak_memory_bytes"}
