"""How a benchmark measures, and what one line of its result holds.

Time: all alternatives in turn, in one process, in CPU seconds, which do not count the time that other
programs take; each is called as often as the others, and the least is reported, since noise only adds.
Memory: each alternative in a process of its own, by the one function `extra_peak`.
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
    """What the project asks of one figure of a row, and what was measured."""

    figure: str  # with its unit
    sense: Literal["at most", "at least"]
    limit: float
    measured: float

    @property
    def asked(self) -> str:
        """In words, such as "time x of plain at most 1"."""
        return f"{self.figure} {self.sense} {self.limit:g}"

    @property
    def met(self) -> bool:
        """Whether the measured figure is on the right side of the limit."""
        return self.measured <= self.limit if self.sense == "at most" else self.measured >= self.limit

    def __str__(self) -> str:
        return f"{self.asked}: {self.measured:.3g}, {'met' if self.met else 'not met'}"


@dataclass(frozen=True)
class Row:
    """One step of the method, ours against one reference of the same run."""

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
    """Least CPU seconds of a call, and what the last one returned."""

    seconds: float
    result: Any


def alternate(*works: Callable[[], object], rounds: int = 3, warmed: bool = False) -> list[Timed]:
    """Each of `works`, called in turn `rounds` times.

    Unless the caller has warmed them up itself, one call each comes before that does not count.
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
    """MiB by which a piece of work raises the resident set of a fresh process over what it was before.

    `module.prepare(*arguments)` makes ready all that the work needs, warms it up on a small input and
    returns it. None where the system does not tell (anything but Linux).
    """
    if not _CLEAR.exists():
        return None
    command = [sys.executable, "-m", "benchmarks.measure", module, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def _measure_here(module: str, *arguments: str) -> float:
    """`extra_peak` of this process, which must be a fresh one: a process never forgets its peak."""
    _return_freed_memory()
    work = importlib.import_module(module).prepare(*arguments)
    gc.collect()
    _CLEAR.write_text("5")
    before = _status("VmRSS")
    work()
    return (_status("VmHWM") - before) / 1024


def _return_freed_memory() -> None:
    """Blocks of 1 MiB and more are mapped on their own, so that freeing them lowers the resident set."""
    import ctypes

    m_mmap_threshold = -3  # glibc's mallopt; without it, what the warm-up freed would hide some of the peak
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(m_mmap_threshold, 1 << 20)


def _status(name: str) -> int:
    """A size of this process in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise KeyError(name)


if __name__ == "__main__":
    print(json.dumps(_measure_here(*sys.argv[1:])))
