"""Parallel execution: one slot for a job per core; jobs that time out are repeated alone."""

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
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Slots:
    """Slots for running jobs, shared by all threads of this process."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._free = threading.Semaphore(number)
        self._clearing = threading.Lock()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold one slot; waits until one is free."""
        with self._free:
            yield

    @contextmanager
    def all(self) -> Iterator[None]:
        """Hold all slots, so that no other job runs."""
        with self._clearing, ExitStack() as stack:
            for _ in range(self._number):
                stack.enter_context(self.one())
            yield


@cache
def slots() -> Slots:
    return Slots(cores())


def settled(attempt: Callable[[int], _Result], timed_out: Callable[[_Result], bool]) -> _Result:
    """Run a job in a slot; if it times out, repeat it with no other job of this process running.

    Args:
        attempt: runs the job; takes the user ID that it switches to (-1: no change).
        timed_out: whether a result is a time-out, which other running jobs may have caused.
    """
    with slots().one(), spare_user() as uid:
        result = attempt(uid)
    if not timed_out(result):
        return result
    with slots().all(), spare_user() as uid:
        return attempt(uid)


def in_order(work: Callable[[_Given], _Result], items: Sequence[_Given]) -> list[_Result]:
    """Results of `work` for every item, in order, with one thread per core; the first error stops all."""
    with ThreadPoolExecutor(max_workers=cores()) as pool:
        try:
            return list(pool.map(work, items))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
