"""The procedure by which `evaluate`'s metric `code_eval` runs programs, reimplemented from its description.

Loading the metric itself downloads it, which a benchmark must not require. The steps that take time are those
of its release 0.4: for each program a manager process that holds the result, and a forked process that
disables dangerous functions, captures output and executes the program under a timer. As many run at a time as
there are workers; the parent waits for each and reads the result from the manager.
"""

import builtins
import contextlib
import faulthandler
import io
import multiprocessing
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Never

_DISABLED = (
    *("kill", "system", "putenv", "remove", "removedirs", "rmdir", "fchdir", "setuid", "fork", "forkpty"),
    *("killpg", "rename", "renames", "truncate", "replace", "unlink", "fchmod", "fchown", "chmod", "chown"),
    *("chroot", "lchown", "getcwd", "chdir"),
)


def run(programs: Sequence[str], workers: int, timeout: float = 3.0) -> list[bool]:
    """Whether each program ran to its end without an error."""
    with ThreadPoolExecutor(max_workers=workers) as pool:
        return list(pool.map(lambda program: _check(program, timeout), programs))


def _check(program: str, timeout: float) -> bool:
    result = multiprocessing.Manager().list()
    process = multiprocessing.get_context("fork").Process(target=_execute, args=(program, result, timeout))
    process.start()
    process.join(timeout=timeout + 1)
    if process.is_alive():
        process.kill()
    return list(result) == ["passed"]


def _execute(program: str, result: Any, timeout: float) -> None:
    remove, leave, folder = shutil.rmtree, os.chdir, tempfile.mkdtemp()
    os.chdir(folder)
    _disable()
    try:
        with _silence(), _limit(timeout):
            exec(program, {})
        result.append("passed")
    except BaseException as error:
        result.append(f"failed: {error}")
    leave("/")
    os.rmdir, os.unlink = _RMDIR, _UNLINK
    remove(folder, ignore_errors=True)


_RMDIR, _UNLINK = os.rmdir, os.unlink


def _disable() -> None:
    faulthandler.disable()
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in _DISABLED:
        setattr(os, name, None)
    for owner, name in ((builtins, "exit"), (builtins, "quit"), (shutil, "rmtree"), (shutil, "move")):
        setattr(owner, name, None)
    subprocess.Popen = None  # type: ignore[assignment, misc]


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    nothing = io.StringIO()
    with contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
        yield


@contextlib.contextmanager
def _limit(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> Never:
        raise TimeoutError

    signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.signal(signal.SIGALRM, stop)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
