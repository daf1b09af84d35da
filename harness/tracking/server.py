"""Where MLflow keeps its data, and a quick look whether it can be written at all."""

import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from harness.core.exceptions import InputError
from harness.core.redaction import MASK, is_redacted, redact
from harness.suite.spec import TrackingSpec

# Read by MLflow at every request. Its own values let one call to a dead server hang for four minutes; with
# these it is three tries of seven seconds with one and two seconds between.
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
    """`artifacts` is None for a server, which chooses itself; `lock` makes one writer of all on this host."""

    uri: str
    artifacts: Path | None
    lock: Path

    @property
    def shown(self) -> str:
        """The address without a password."""
        return redact(self.uri)

    def hide(self, text: str) -> str:
        """A text of MLflow's or a driver's without the password, in an address or by itself."""
        with suppress(ValueError):  # no address that can be split
            password = urlsplit(self.uri).password
            for spelling in (password, unquote(password)) if password else ():
                text = text.replace(spelling, MASK)
        return redact(text)

    @property
    def served(self) -> bool:
        return self.uri.startswith(("http://", "https://"))


def locate(tracking: TrackingSpec, results: Path) -> TrackingStore:
    """The suite's address, else MLFLOW_TRACKING_URI, else a database beside the results.

    An address read back from a run has lost its password: then only MLFLOW_TRACKING_URI will do. Raises
    InputError where that is not set.
    """
    named, set_outside = tracking.uri, os.environ.get("MLFLOW_TRACKING_URI")
    if named and is_redacted(named):
        if not set_outside:
            raise InputError(
                f"the run was tracked at {named}, and its record does not keep the password",
                remedy="set MLFLOW_TRACKING_URI to the whole address and sync again",
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
    """MLflow's environment, before it is imported; what the user has set stays."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


def check_database(uri: str) -> None:
    """Take and give back the write lock of a sqlite file: MLflow would retry a damaged, full or
    read-only one for minutes. Raises sqlite3.Error or OSError."""
    database = database_file(uri)
    if database is None:
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(database, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("SELECT count(*) FROM sqlite_master")
        connection.execute("ROLLBACK")
