"""The peak of a stage is its own, not that of what ran before it in the same process."""

import json
import subprocess
import sys

import pytest

from harness.pipeline.runner import RESET
from tests.conftest import CHECKOUT

pytestmark = pytest.mark.skipif(not RESET.exists(), reason="only Linux tells")
BLOCK = 60_000_000  # bytes, well above what an interpreter moves by itself


def peaks(*sizes: int) -> list[dict[str, int]]:
    """What is told after each of `sizes` bytes was held, one after the other in a new process."""
    command = [sys.executable, "-m", "tests.harness.pipeline.peaks", *map(str, sizes)]
    done = subprocess.run(command, cwd=CHECKOUT, check=True, stdout=subprocess.PIPE, text=True)
    found: list[dict[str, int]] = json.loads(done.stdout)
    return found


def test_what_was_held_is_seen_though_it_was_let_go_and_then_forgotten() -> None:
    idle, held, idle_again = (found["peak_memory_bytes"] for found in peaks(0, BLOCK, 0))
    assert held - idle > 0.8 * BLOCK
    assert held - idle_again > 0.8 * BLOCK


def test_without_a_device_none_is_told() -> None:
    """The new process has not imported torch, so no device can have been used."""
    (found,) = peaks(0)
    assert found.keys() == {"peak_memory_bytes"}
