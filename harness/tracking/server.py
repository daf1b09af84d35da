"""Location of MLflow's data, its settings, and a quick check that the database is writable."""

import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from harness.core.exceptions import InputError
from harness.core.redaction import MASK, is_redacted, redact
from harness.suite.spec import TrackingSpec

# Read by MLflow at every request. With its defaults one call to an unresponsive server hangs for four
# minutes; with these there are three tries of seven seconds, with pauses of one and two seconds.
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "7",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
_SQLITE = "sqlite:///"
_BUSY_SECONDS = 10.0


@dataclass(frozen=True)
class TrackingStore:
    """`artifacts` is None for a server, which has its own; `lock`: one writer at a time on this host."""

    uri: str
    artifacts: Path | None
    lock: Path

    @property
    def shown(self) -> str:
        """The address without a password."""
        return redact(self.uri)

    def hide(self, text: str) -> str:
        """A message of MLflow or a driver with the password masked, within an address or alone."""
        with suppress(ValueError):  # not a valid address
            password = urlsplit(self.uri).password
            for spelling in (password, unquote(password)) if password else ():
                text = text.replace(spelling, MASK)
        return redact(text)

    @property
    def served(self) -> bool:
        return self.uri.startswith(("http://", "https://"))


def locate(tracking: TrackingSpec, results: Path) -> TrackingStore:
    """The suite's address, else MLFLOW_TRACKING_URI, else a database in the results folder.

    An address read from a run record has no password; then MLFLOW_TRACKING_URI is required. Raises InputError
    if it is not set.
    """
    named, set_outside = tracking.uri, os.environ.get("MLFLOW_TRACKING_URI")
    if named and is_redacted(named):
        if not set_outside:
            raise InputError(
                f"the run was tracked at {named}, but its record does not contain the password",
                remedy="set MLFLOW_TRACKING_URI to the complete address and sync again",
            )
        named = None
    folder = results.resolve()
    default = f"{_SQLITE}{(folder / 'mlflow.db').as_posix()}"
    uri = named or set_outside or default
    database = database_file(uri)
    served = uri.startswith(("http://", "https://"))
    lock = database.with_name(database.name + ".lock") if database else folder / "mlflow.lock"
    return TrackingStore(uri, None if served else folder / "mlflow-artifacts", lock)


def database_file(uri: str) -> Path | None:
    """The file of a sqlite address, None for any other."""
    return Path(uri.removeprefix(_SQLITE).split("?")[0]).resolve() if uri.startswith(_SQLITE) else None


def settle() -> None:
    """Set MLflow's environment before it is imported; the user's own values are kept."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


def check_database(uri: str) -> None:
    """Take and release the write lock of a sqlite file, because MLflow would retry for minutes with a
    damaged, full or read-only one. Raises sqlite3.Error or OSError."""
    database = database_file(uri)
    if database is None:
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(database, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("SELECT count(*) FROM sqlite_master")
        connection.execute("ROLLBACK")
