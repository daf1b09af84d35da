"""Print, as JSON, what `peak_memory` says after holding so many bytes, for each number given, in turn.

A program of its own: memory that a process held earlier is not given back to the system, and hides what is
held later.
"""

import json
import sys

import numpy as np

from harness.pipeline.runner import forget_peak, peak_memory


def held(size: int) -> dict[str, int]:
    """Measured around `size` bytes that are touched and let go again."""
    forget_peak()
    np.ones(size // 8).sum()
    return peak_memory()


if __name__ == "__main__":
    print(json.dumps([held(int(size)) for size in sys.argv[1:]]))
