"""A run's folder: where its record is, and reading it checked against the schema."""

from pathlib import Path

from pydantic import ValidationError

from harness.errors import IncompleteError, InputError
from harness.results import RUN_SCHEMA_VERSION, RunRecord

RUN_FILE = "run.json"


def read_run(folder: Path) -> RunRecord:
    """The record of a finished run. Raises IncompleteError without one, InputError for another shape."""
    path = folder / RUN_FILE
    if not path.is_file():
        raise IncompleteError(
            f"{folder} has no {RUN_FILE}: the run is not finished, or this is no run folder",
            remedy="give a folder below results/runs, or finish the run with `fusegauge run-suite`",
        )
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(
            f"{path} is not a run record of schema {RUN_SCHEMA_VERSION}: {error.errors()[0]['msg']}",
            remedy="run the suite again with this version: finished stages are reused",
        ) from error
