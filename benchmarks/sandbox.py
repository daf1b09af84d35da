"""Programs per second in fresh sandboxes, against `code_eval`'s procedure, which has no sandbox.

HumanEval's 164 canonical solutions with their tests; ours and the reference in turn in the same run, and all
programs must pass in both. Ours is what scoring does: the program in one sandbox, its tests in another,
nothing cached. The reference is the faster of two settings, `code_eval`'s default of 4 workers and one worker
per core, in a process that has imported `evaluate`, since `code_eval` forks such a process. Times are wall
clock: most of the work is done by other processes, and the CPU time of those whose parent was killed cannot
be read.
"""

import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks import code_eval_procedure
from benchmarks.measure import Bar, Row
from harness.sandbox import PythonProgram, judge_all, required
from harness.sandbox.pool import cores
from harness.scoring.options import ScoringOptions

ROUNDS = 3
FASTER = 1.2  # required multiple of code_eval's programs per second
DEFAULT_WORKERS = 4  # code_eval's default


class Timed(NamedTuple):
    """Minimum wall-clock seconds over the rounds, and minimum number of programs that passed."""

    seconds: float
    passed: int


def cases(quick: bool, models: Sequence[Path], mirror: Path | None = None) -> Iterator[Row]:
    """One row; `models` are not used."""
    del models
    importlib.import_module("evaluate")
    programs = _few() if quick else _humaneval(mirror)
    sandbox = required()
    sources = [f"{p.source}\n{p.tests}" for p in programs]
    workers = sorted({DEFAULT_WORKERS, cores()})
    ways: list[Callable[[], list[bool]]] = [
        lambda: [v.passed for v in judge_all(programs, sandbox, cache=None)],
        *(partial(code_eval_procedure.run, sources, number) for number in workers),
    ]
    ours, *theirs = _alternate(ways, 1 if quick else ROUNDS)
    best, number = min(zip(theirs, workers, strict=True), key=lambda pair: pair[0].seconds)
    ratio = best.seconds / ours.seconds
    yield Row(
        case=f"{len(programs)} programs of {'trivial functions' if quick else 'HumanEval'}, wall clock",
        ours=f"two fresh sandboxes each ({sandbox.name}), {cores()} at a time",
        reference=f"code_eval's procedure, {number} workers",
        seconds=ours.seconds,
        reference_seconds=best.seconds,
        bars=() if quick else (Bar("programs per second, x of code_eval's", "at least", FASTER, ratio),),
        outputs_agree=ours.passed == best.passed == len(programs),
        counted={
            "programs/s": len(programs) / ours.seconds,
            "code_eval's programs/s": len(programs) / best.seconds,
            "passed": ours.passed,
            "passed code_eval": best.passed,
        },
    )


def _alternate(ways: Sequence[Callable[[], list[bool]]], rounds: int) -> list[Timed]:
    found: list[list[Timed]] = [[] for _ in ways]
    for _ in range(rounds):
        for kept, way in zip(found, ways, strict=True):
            started = time.perf_counter()
            passed = sum(way())
            kept.append(Timed(time.perf_counter() - started, passed))
    return [Timed(min(t.seconds for t in kept), min(t.passed for t in kept)) for kept in found]


def _humaneval(mirror: Path | None) -> list[PythonProgram]:
    import datasets

    from harness.data.mirror import redirected

    with redirected(ScoringOptions(mirror=mirror)):
        rows = datasets.load_dataset("openai/openai_humaneval", split="test")
    return [
        PythonProgram(
            row["prompt"] + row["canonical_solution"],
            f"{row['test']}\ncheck({row['entry_point']})",
            row["prompt"],
        )
        for row in rows
    ]


def _few() -> list[PythonProgram]:
    return [PythonProgram(f"def f(x): return x + {n}", f"assert f(1) == {n + 1}") for n in range(4)]
