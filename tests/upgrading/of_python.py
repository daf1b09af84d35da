"""What is assumed of CPython beyond its documentation."""

import sys

from tests.upgrading.assumption import assumes


@assumes(
    "Python",
    "sys._base_executable",
    used_in="harness.sandbox.backends.base",
    assumed="the interpreter from which a virtual environment was made; without it `sys.executable` is taken",
    why="`sys.base_prefix` is a folder, and what the interpreter in it is called differs between systems",
    breaks="in an environment of copies, sandboxes run the copy and do not find its libraries",
)
def interpreter_of_an_environment() -> None:
    from pathlib import Path

    base = Path(sys._base_executable)  # type: ignore[attr-defined]
    assert base.is_file(), base
    assert base.resolve().is_relative_to(Path(sys.base_prefix).resolve()), base


@assumes(
    "Python",
    "_signal",
    used_in="harness.sandbox.inside.first",
    assumed="what `signal` is made of: the same functions, built in",
    why="`signal` imports enum, which takes long where every program starts an interpreter",
    breaks="no program can be run",
)
def signals_that_are_built_in() -> None:
    import _signal  # type: ignore[import-not-found]
    import signal

    assert "_signal" in sys.builtin_module_names
    assert (_signal.SIGXCPU, _signal.SIG_DFL) == (signal.SIGXCPU, signal.SIG_DFL)
    assert callable(_signal.signal)


@assumes(
    "Python",
    "error about a port that is taken",
    used_in="harness.tracking.ui",
    spelled="TAKEN",
    assumed="the words `address already in use` in what a server logs",
    why="the server is another process, of which only the log is seen",
    breaks="`fusegauge ui` fails where another server takes its port, and does not try the next",
)
def error_about_a_taken_port() -> None:
    import errno
    import os

    from harness.tracking.ui import TAKEN

    assert os.strerror(errno.EADDRINUSE).lower() == TAKEN.decode()
