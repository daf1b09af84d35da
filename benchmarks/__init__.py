"""Timings against straightforward implementations, in the same run: `python -m benchmarks fusion --json`."""

import os

from benchmarks.machine import THREADS

for _name in THREADS:
    os.environ.setdefault(_name, "1")  # one core; said here, before numpy and torch start their threads
# progress is told row by row, not while weights are loaded
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
