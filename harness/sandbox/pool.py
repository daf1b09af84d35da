"""Runs as many jobs at a time as there are cores, each in a slot, and repeats time-outs alone."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TypeVar

from harness.sandbox.users import spare_user

_Given = TypeVar("_Given")
_Result = TypeVar("_Result")


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Slots:
    """Places for running jobs, shared by all threads of this process."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._free = threading.Semaphore(number)
        self._clearing = threading.Lock()

    @contextmanager
    def one(self) -> Iterator[None]:
        """A place among others; waits for one to become free."""
        with self._free:
            yield

    @contextmanager
    def all(self) -> Iterator[None]:
        """Every place: nothing else runs."""
        with self._clearing, ExitStack() as stack:
            for _ in range(self._number):
                stack.enter_context(self.one())
            yield


@cache
def slots() -> Slots:
    return Slots(cores())


def settled(attempt: Callable[[int], _Result], timed_out: Callable[[_Result], bool]) -> _Result:
    """Run something in a slot; if it times out, once more with nothing else of this process running.

    Args:
        attempt: takes the user number that the job becomes (-1: none of its own).
        timed_out: whether a result is a time-out, which beside other jobs may be their doing.
    """
    with slots().one(), spare_user() as uid:
        result = attempt(uid)
    if not timed_out(result):
        return result
    with slots().all(), spare_user() as uid:
        return attempt(uid)


def in_order(work: Callable[[_Given], _Result], items: Sequence[_Given]) -> list[_Result]:
    """`work` on every item, on as many threads as there are cores; the first error ends it all."""
    with ThreadPoolExecutor(max_workers=cores()) as pool:
        try:
            return list(pool.map(work, items))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
