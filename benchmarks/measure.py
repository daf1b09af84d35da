"""How a benchmark measures: both alternatives in turn, in one process, in CPU seconds of one thread.

CPU seconds do not count the time that other programs take from this one; the least of several rounds is
reported, since noise only adds. A ratio is always reference / ours of the same run: above 1 is faster.
"""

import gc
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MODELS = "FUSEGAUGE_BENCHMARK_MODELS"  # folders of real models, joined by os.pathsep, target first


@dataclass(frozen=True)
class Row:
    """One step of the method, ours against the reference of the same run.

    `seconds` and `reference_seconds` are of CPU time; `extra` holds whatever else was counted, by name with
    its unit (such as "extra peak MiB").
    """

    case: str
    ours: str
    reference: str
    seconds: float
    reference_seconds: float
    bar: str = ""  # what the project asks of it, in words
    extra: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """How many times as fast as the reference."""
        return self.reference_seconds / self.seconds if self.seconds else math.inf


Case = Callable[[], Row]


def alternate(
    ours: Callable[[], object], reference: Callable[[], object], rounds: int = 3
) -> tuple[float, float]:
    """Least CPU seconds of each, called in turn `rounds` times after one call each that does not count."""
    best = [math.inf, math.inf]
    for number in range(rounds + 1):
        for place, work in enumerate((ours, reference)):
            seconds = cpu_seconds(work)
            if number:
                best[place] = min(best[place], seconds)
    return best[0], best[1]


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process that one call takes, over all its threads."""
    gc.collect()
    started = time.process_time()
    work()
    return time.process_time() - started


def in_fresh_process(module: str, *arguments: str) -> dict[str, Any]:
    """The JSON that `python -m module arguments` prints: a process never forgets its peak of memory."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def real_models() -> list[Path]:
    """Model folders that the caller wants measured too, the target first; none unless asked for."""
    return [Path(p) for p in os.environ.get(MODELS, "").split(os.pathsep) if p]
