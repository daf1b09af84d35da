"""Runs stages in order, reuses what is in the store, reports progress and measures peak memory."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fusion.errors import FusionError
from harness.core.exceptions import StageError
from harness.pipeline.stage import Context, Stage
from harness.pipeline.store import Entry, Store


@dataclass(frozen=True)
class StageResult:
    """A stage's finished output and whether this run computed it."""

    entry: Entry
    reused: bool


class Observer(Protocol):
    """Is notified when a stage starts, progresses and finishes: the command line shows progress with it."""

    def started(self, stage: Stage, index: int, total: int) -> None: ...

    def progress(self, stage: Stage, what: str, done: int, total: int) -> None: ...

    def finished(self, stage: Stage, outcome: StageResult) -> None: ...


def run_stages(stages: Sequence[Stage], store: Store, observer: Observer) -> dict[str, StageResult]:
    """Run or reuse every stage; `stages` has inputs first. Returns the results by stage name."""
    outcomes: dict[str, StageResult] = {}
    for index, stage in enumerate(stages):
        observer.started(stage, index, len(stages))
        inputs = {needed.name: outcomes[needed.name].entry for needed in stage.inputs}
        outcomes[stage.name] = _run_one(stage, inputs, store, observer)
        observer.finished(stage, outcomes[stage.name])
    return outcomes


def _run_one(stage: Stage, inputs: dict[str, Entry], store: Store, observer: Observer) -> StageResult:
    if store.has(stage.name, stage.key):
        return StageResult(store.open(stage.name, stage.key), reused=True)
    with store.lock(stage.name, stage.key):
        if store.has(stage.name, stage.key):  # another process finished it while this one waited
            return StageResult(store.open(stage.name, stage.key), reused=True)
        _compute(stage, inputs, store, observer)
    return StageResult(store.open(stage.name, stage.key), reused=False)


def _compute(stage: Stage, inputs: dict[str, Entry], store: Store, observer: Observer) -> None:
    def report(what: str, done: int, total: int) -> None:
        observer.progress(stage, what, done, total)

    with store.write(stage.name, stage.key, stage.describe()) as draft:
        forget_peak()
        try:
            stage.work(draft, Context(inputs, report))
        except FusionError as error:  # fusion does not know the stage's name: add it
            raise StageError(f"stage {stage.name}: {error.message}", remedy=error.remedy) from error
        draft.facts |= peak_memory()


STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
FROM_NOW = "5"  # resets the peak resident set size (proc(5), Linux 4.0 or later)


def forget_peak() -> None:
    """Reset the peaks that `peak_memory` reads. Does nothing where the system is not Linux."""
    try:
        RESET.write_text(FROM_NOW)
    except OSError:
        return
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> dict[str, int]:
    """Peaks since `forget_peak`: `peak_memory_bytes` of the process, `peak_device_bytes` if CUDA is used."""
    found = {}
    if RESET.exists():
        lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if ":" in line)
        found["peak_memory_bytes"] = 1024 * int(lines["VmHWM"].split()[0])
    torch = sys.modules.get("torch")  # a stage that uses a device has imported it
    if torch is not None and torch.cuda.is_available():
        found["peak_device_bytes"] = int(torch.cuda.max_memory_allocated())
    return found
