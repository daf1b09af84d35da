"""Benchmarks against straightforward implementations, in the same run (`python -m benchmarks fusion`)."""

import os

from benchmarks.machine import THREADS

for _name in THREADS:
    os.environ.setdefault(_name, "1")  # one core; set before numpy and torch start their threads
# progress is printed row by row, not while weights are loaded
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
