"""MLflow's web UI on a results folder, as a server that ends with the command."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.exceptions import InputError, TrackingError
from harness.suite.spec import TrackingSpec
from harness.tracking.links import DEFAULT_UI, TrackingLinks, links, ui_base
from harness.tracking.parent_plan import PARENT_ROLE
from harness.tracking.run_plan import COMPARISON, ROLE
from harness.tracking.saved_view import view_id
from harness.tracking.server import TrackingStore, check_database, database_file, locate, settle
from harness.tracking.writing import open_client

HOST = "127.0.0.1"  # MLflow's UI has no password
START_SECONDS = 120.0
STOP_SECONDS = 10.0
READY = b"Uvicorn running on"  # logged by the server once it owns the port
TAKEN = b"address already in use"
LISTED = 10  # newest runs
LIGHT = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


@dataclass(frozen=True)
class Page:
    """Where MLflow is served, its database and its log; `process` is None if it was running already."""

    base: str
    database: str
    runs: dict[str, TrackingLinks]  # run -> its links, newest first
    log: Path | None
    process: "subprocess.Popen[bytes] | None"

    def wait(self) -> None:
        """Wait until the user interrupts. Raises TrackingError if the server ends by itself with an error."""
        if self.process is not None and self.process.wait():
            raise TrackingError(
                f"MLflow's server ended with exit code {self.process.returncode}",
                remedy=f"see its log: {self.log}",
            )


@contextmanager
def serve(results: Path, port: int | None = None) -> Iterator[Page]:
    """Start MLflow on the database of `results`, or find the server that MLFLOW_TRACKING_URI names.

    `port` None takes MLflow's default or, if it is in use, any free one. The server and its workers end with
    the block. Raises InputError if there is no database or the port is in use, TrackingError if the server
    does not start.
    """
    store = locate(TrackingSpec(), results)
    settle()
    if store.served:
        base = ui_base(store.uri, None)
        yield Page(base, store.shown, _runs(store, base), None, None)
        return
    _require_database(store, results)
    ports = [free_port(), _bound(0), _bound(0)] if port is None else [_checked(port)]
    log = results / "mlflow-ui.log"
    with _interruptible(), ExitStack() as stack:
        chosen, process = _started(stack, store, ports, log)
        base = f"http://{HOST}:{chosen}"
        yield Page(base, store.shown, _runs(store, base), log, process)


def _started(
    stack: ExitStack, store: TrackingStore, ports: Sequence[int], log: Path
) -> "tuple[int, subprocess.Popen[bytes]]":
    """Start a server on the first of these ports that no other process takes in the meantime."""
    for left, port in enumerate(ports, start=1 - len(ports)):
        with ExitStack() as trial:
            process = trial.enter_context(_server(store, port, log))
            try:
                _await(process, port, log)
            except TrackingError:
                if left == 0 or TAKEN not in log.read_bytes():
                    raise
                continue
            stack.push(trial.pop_all())
            return port, process
    raise AssertionError("there is at least one port")


def _require_database(store: TrackingStore, results: Path) -> None:
    file = database_file(store.uri)
    if file is not None and not file.is_file():
        raise InputError(
            f"no MLflow database at {file}",
            remedy=f"sync a run first: fusegauge sync RUN --results {results}",
        )
    try:
        check_database(store.uri)
    except Exception as error:
        raise InputError(
            f"{store.shown} cannot be opened: {error}",
            remedy="end the program that uses it, or sync to another database",
        ) from error


def free_port() -> int:
    """MLflow's default port, or any free one."""
    usual = int(DEFAULT_UI.rpartition(":")[2])
    return usual if _is_free(usual) else _bound(0)


def _checked(port: int) -> int:
    if not _is_free(port):
        raise InputError(f"--port {port} is in use", remedy="leave --port out to use a free one")
    return port


def _is_free(port: int) -> bool:
    with suppress(OSError):
        return _bound(port) == port
    return False


def _bound(port: int) -> int:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        probe.bind((HOST, port))
        return int(probe.getsockname()[1])


@contextmanager
def _interruptible() -> Iterator[None]:
    """Treat SIGTERM, from a service manager or a shell, like Ctrl-C."""
    asked = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.default_int_handler) for number in asked}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _server(store: TrackingStore, port: int, log: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Run the server in a session of its own, so that Ctrl-C reaches only us and its workers end with it.

    The database's address is passed by the environment, since all users of the machine can see command lines.
    """
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        HOST,
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    places = {"MLFLOW_BACKEND_STORE_URI": store.uri, "MLFLOW_DEFAULT_ARTIFACT_ROOT": str(store.artifacts)}
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            env={**os.environ, **LIGHT, **places},
            cwd=log.parent,  # an old ./mlruns in the current folder would be used as the store
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Terminate the whole session, then kill what is left."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)


def _await(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        # a port that answers is not enough: another server may have taken it meanwhile
        if READY in log.read_bytes():
            with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
                return
        time.sleep(0.2)
    how = (
        "ended during start-up"
        if process.poll() is not None
        else f"did not answer in {START_SECONDS:g} seconds"
    )
    raise TrackingError(f"MLflow's server {how}", remedy=f"see its log: {log}")


def _runs(store: TrackingStore, base: str) -> dict[str, TrackingLinks]:
    """The newest synced runs of all experiments."""
    client = open_client(store.uri)
    experiments = [e.experiment_id for e in client.search_experiments()]
    query, order = f"tags.`{ROLE}` = '{PARENT_ROLE}'", ["attributes.start_time DESC"]
    parents = client.search_runs(experiments, query, max_results=LISTED, order_by=order)
    return {parent.data.tags[COMPARISON]: _links(client, parent, base) for parent in parents}


def _links(client: Any, parent: Any, base: str) -> TrackingLinks:
    experiment, run = parent.info.experiment_id, parent.info.run_id
    order = ["attributes.start_time ASC"]
    children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run}'", order_by=order)
    models = [child.info.run_id for child in children]
    view = view_id(parent.data.tags[COMPARISON])
    return links(experiment, run, models, view, base=base, command="")
