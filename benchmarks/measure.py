"""Measuring time and memory, and the result of one benchmark case (`Row`).

Time: all alternatives are called in turn in one process, equally often. CPU seconds are measured, which other
programs do not affect, and the minimum is reported, since noise only adds time.
Memory: each alternative runs in a process of its own, measured by `extra_peak`.
Both ratios of a row are reference / ours: above 1, ours is better.
"""

import gc
import importlib
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

_CLEAR = Path("/proc/self/clear_refs")  # Linux: "5" sets VmHWM to VmRSS


@dataclass(frozen=True)
class Bar:
    """The project's requirement for one figure of a row, and the measured value."""

    figure: str  # name with unit
    sense: Literal["at most", "at least"]
    limit: float
    measured: float

    @property
    def asked(self) -> str:
        """The requirement in words, such as "time x of plain at most 1"."""
        return f"{self.figure} {self.sense} {self.limit:g}"

    @property
    def met(self) -> bool:
        """Whether the measured value satisfies the limit."""
        return self.measured <= self.limit if self.sense == "at most" else self.measured >= self.limit

    def __str__(self) -> str:
        return f"{self.asked}: {self.measured:.3g}, {'met' if self.met else 'not met'}"


@dataclass(frozen=True)
class Row:
    """Result of one benchmark case: ours against one reference in the same run."""

    case: str
    ours: str
    reference: str
    seconds: float  # of CPU time
    reference_seconds: float
    extra_peak_mib: float | None = None  # None where memory was not measured
    reference_extra_peak_mib: float | None = None
    bars: tuple[Bar, ...] = ()
    outputs_agree: bool | None = None  # None where the two do not compute the same thing
    counted: Mapping[str, float | str] = field(default_factory=dict)  # by name with its unit

    @property
    def time_ratio(self) -> float:
        """Reference / ours."""
        return _ratio(self.reference_seconds, self.seconds)

    @property
    def memory_ratio(self) -> float | None:
        """Reference / ours."""
        if self.extra_peak_mib is None or self.reference_extra_peak_mib is None:
            return None
        return _ratio(self.reference_extra_peak_mib, self.extra_peak_mib)


def _ratio(reference: float, ours: float) -> float:
    return reference / ours if ours > 0 else math.inf


class Timed(NamedTuple):
    """Minimum CPU seconds of a call, and the last call's return value."""

    seconds: float
    result: Any


def alternate(*works: Callable[[], object], rounds: int = 3, warmed: bool = False) -> list[Timed]:
    """Call each of `works` in turn, `rounds` times, and time the calls.

    Before that each is called once without timing, unless the caller has already warmed them up.
    """
    best = [Timed(math.inf, None if warmed else work()) for work in works]
    for _ in range(rounds):
        for place, work in enumerate(works):
            gc.collect()
            started = time.process_time()
            result = work()
            best[place] = Timed(min(best[place].seconds, time.process_time() - started), result)
    return best


def extra_peak(module: str, *arguments: str) -> float | None:
    """Peak of the resident set during a piece of work in a fresh process, minus its size before, in MiB.

    `module.prepare(*arguments)` prepares all that the work needs, warms it up on a small input and returns
    it as a callable. None on systems other than Linux, which do not provide this figure.
    """
    if not _CLEAR.exists():
        return None
    command = [sys.executable, "-m", "benchmarks.measure", module, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def _measure_here(module: str, *arguments: str) -> float:
    """`extra_peak` of this process, which must be a fresh one so that freed memory does not hide the peak."""
    _return_freed_memory()
    work = importlib.import_module(module).prepare(*arguments)
    gc.collect()
    _CLEAR.write_text("5")
    before = _status("VmRSS")
    work()
    return (_status("VmHWM") - before) / 1024


def _return_freed_memory() -> None:
    """Make glibc map blocks of 1 MiB and more separately, so that freeing them lowers the resident set."""
    import ctypes

    m_mmap_threshold = -3  # glibc's mallopt; without it, memory that the warm-up freed hides part of the peak
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(m_mmap_threshold, 1 << 20)


def _status(name: str) -> int:
    """A memory figure of this process, from /proc/self/status, in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise KeyError(name)


if __name__ == "__main__":
    print(json.dumps(_measure_here(*sys.argv[1:])))
