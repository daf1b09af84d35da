"""Sync of a run on disk to MLflow."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness.core.exceptions import FuseGaugeError, TrackingError
from harness.core.record import Role, RunRecord
from harness.core.run_files import read_run
from harness.suite.spec import TrackingSpec
from harness.tracking.links import TrackingLinks, links, ui_base, ui_command
from harness.tracking.model_plan import curve_keys, model_plans, start_of
from harness.tracking.parent_plan import parent_plan
from harness.tracking.saved_view import view_id, view_tag, view_value
from harness.tracking.scores import KeyedRow, headline, keyed_rows
from harness.tracking.server import TrackingStore, check_database, locate, settle
from harness.tracking.writing import open_client, open_experiment, remove_others, write_run

LOCK_SECONDS = 60.0  # several times the duration of a sync


def sync_run(run_dir: Path, tracking: TrackingSpec, *, results: Path, ui: str | None = None) -> TrackingLinks:
    """Write the run in `run_dir` to MLflow unless it is there unchanged; returns the links to it.

    `results` holds the database if neither the suite nor MLFLOW_TRACKING_URI names a place; `ui` is the
    address of MLflow's UI if it is not the tracking server itself. One sync at a time per database.

    Raises IncompleteError if there is no run.json, TrackingError for any failure of MLflow or its storage;
    the results on disk are only read.
    """
    record = read_run(run_dir)
    store = locate(tracking, results)
    settle()
    try:
        store.lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(store.lock, timeout=LOCK_SECONDS):
            experiment, parent, models = _write(record, run_dir, tracking.experiment, store)
    except FuseGaugeError:
        raise
    except Exception as error:  # no error of a third party may lose a finished run
        raise _tracking_error(error, store, run_dir) from error
    base = ui_base(store.uri, ui)
    command = ui_command(store.uri, base)
    return links(experiment, parent, models, view_id(record.run), base=base, command=command)


def _write(record: RunRecord, run_dir: Path, name: str, store: TrackingStore) -> tuple[str, str, list[str]]:
    """Write parent, children and view; then delete older MLflow runs of the same FuseGauge run."""
    check_database(store.uri)
    client = open_client(store.uri)
    experiment = open_experiment(client, name, store.artifacts)
    rows = keyed_rows(record.comparison)
    parent = write_run(client, experiment, parent_plan(record, run_dir, rows))
    belongs = {"mlflow.parentRunId": parent}
    models = [write_run(client, experiment, plan, belongs) for plan in model_plans(record, run_dir, rows)]
    remove_others(client, experiment, record.run, [parent, *models])
    _write_view(client, experiment, record, rows, models)
    return experiment, parent, models


def _write_view(
    client: Any, experiment: str, record: RunRecord, rows: Sequence[KeyedRow], models: Sequence[str]
) -> None:
    heads = [keyed.key for keyed in headline(rows)]
    others = [keyed.key for keyed in rows if keyed.key not in heads]
    by_role = {model.role: run_id for model, run_id in zip(record.models, models, strict=True)}
    value = view_value(
        record.run,
        heads,
        others,
        curve_keys(record.training),
        baseline=by_role.get(Role.TARGET, models[0] if models else ""),
        created=start_of(record),
    )
    client.set_experiment_tag(experiment, view_tag(record.run), value)


def _tracking_error(error: Exception, store: TrackingStore, run_dir: Path) -> TrackingError:
    if isinstance(error, Timeout):
        return TrackingError(
            f"another sync to {store.shown} did not finish within {LOCK_SECONDS:g} seconds",
            remedy=f"the results in {run_dir} are complete; when the other sync has finished, run "
            f"`fusegauge sync {run_dir.name}`",
        )
    lines_of_it = store.hide(
        str(error)
    ).splitlines()  # masked first: a truncated address would not be recognised
    reason = next((line for line in lines_of_it if line.strip()), "no reason given")[:300]
    again = f"`fusegauge sync {run_dir.name}`"
    act = (
        f"start the server or correct its address, then {again}"
        if store.served
        else f"correct this (or set MLFLOW_TRACKING_URI), then {again}"
    )
    return TrackingError(
        f"MLflow at {store.shown} was not reachable or refused: {type(error).__name__}: {reason}",
        remedy=f"the results in {run_dir} are complete; {act}",
    )
