"""Timings against straightforward implementations, in the same run: `python -m benchmarks fusion --json`."""

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # one core; said here, before numpy and torch start their threads
