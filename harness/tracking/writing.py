"""Idempotent writing of plans to MLflow.

A run is found by its key tag. Its digest tag is written last, so a FINISHED run with the right digest is
complete. MLflow keeps the larger of two values logged at the same step and time, and cannot change a
parameter; so if numbers changed, a new run is created, and the old one is deleted once the new one is
complete.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from getpass import getuser
from itertools import islice
from pathlib import Path
from typing import Any

from harness.tracking.run_plan import COMPARISON, CONTENT, KEY, NUMBERS, RunPlan, digest

_METRICS_A_BATCH = 1000  # MLflow's limits of one request
_PAIRS_A_BATCH = 100
_LONGEST_VALUE = 6000


def open_client(uri: str) -> Any:
    """An MlflowClient; the import takes seconds and needs the settings in the environment."""
    import logging

    from mlflow import MlflowClient

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)


def open_experiment(client: Any, name: str, artifacts: Path | None) -> str:
    """The experiment's id; created if missing, restored if deleted."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)
    tags = {
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.experiment.primaryMetric.name": "avg/overall",
        "mlflow.note.content": "One parent run per comparison, one child per model. Open a view under Views.",
    }
    location = (artifacts / name).as_uri() if artifacts else None
    return str(client.create_experiment(name, artifact_location=location, tags=tags))


def write_run(client: Any, experiment: str, plan: RunPlan, extra: Mapping[str, str] | None = None) -> str:
    """Write `plan` unless it is there; returns its run id. `extra`: further tags (the parent's id)."""
    tags = {**plan.tags, **(extra or {}), KEY: plan.key, "mlflow.source.name": "fusegauge"}
    content, numbers = digest([plan.content(), dict(extra or {})]), plan.numbers()
    found = runs_with(client, experiment, KEY, plan.key)
    for run in found:
        if run.info.status == "FINISHED" and run.data.tags.get(CONTENT) == content:
            return str(run.info.run_id)
    kept = next((run for run in found if run.data.tags.get(NUMBERS) == numbers), None)
    if kept is None:
        kept = _create(client, experiment, plan, tags)
        _log_numbers(client, kept.info.run_id, plan)
        client.set_tag(kept.info.run_id, NUMBERS, numbers)
    run_id = str(kept.info.run_id)
    _log_content(client, run_id, plan, tags)
    client.set_tag(run_id, CONTENT, content)
    client.set_terminated(run_id, "FINISHED", end_time=kept.info.start_time + plan.duration)
    return run_id


def remove_others(client: Any, experiment: str, run: str, kept: Iterable[str]) -> None:
    """Delete older MLflow runs of a FuseGauge run: with outdated numbers, of models it no longer has,
    incomplete ones, and duplicates from a request that was sent twice."""
    wanted = set(kept)
    for found in runs_with(client, experiment, COMPARISON, run):
        if found.info.run_id not in wanted:
            client.delete_run(found.info.run_id)


def runs_with(client: Any, experiment: str, tag: str, value: str) -> list[Any]:
    """Active runs whose tag has this value, oldest first."""
    query, order = f"tags.`{tag}` = '{value}'", ["attributes.start_time ASC"]
    return list(client.search_runs([experiment], query, max_results=1000, order_by=order))


def _create(client: Any, experiment: str, plan: RunPlan, tags: Mapping[str, str]) -> Any:
    named = {**tags, "mlflow.user": _user()}
    return client.create_run(experiment, start_time=plan.started, run_name=plan.name, tags=named)


def _user() -> str:
    try:
        return getuser()
    except (OSError, KeyError):  # a container whose user has no name
        return "unknown"


def _log_numbers(client: Any, run_id: str, plan: RunPlan) -> None:
    from mlflow.entities import Metric, Param

    params = [Param(key, value[:_LONGEST_VALUE]) for key, value in plan.params.items()]
    metrics = [Metric(key, float(value), plan.started, 0) for key, value in plan.metrics.items()]
    for key, points in plan.series.items():
        metrics += [Metric(key, float(value), plan.started, step) for step, value in points]
    for batch in _batches(metrics, _METRICS_A_BATCH):
        client.log_batch(run_id, metrics=batch)
    for batch in _batches(params, _PAIRS_A_BATCH):
        client.log_batch(run_id, params=batch)
    if plan.datasets:
        client.log_inputs(run_id, _datasets(plan))


def _datasets(plan: RunPlan) -> list[Any]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    context = [InputTag("mlflow.data.context", "eval")]
    return [
        DatasetInput(Dataset(d.name, d.digest, "fusegauge", d.source, profile=d.profile), context)
        for d in plan.datasets
    ]


def _log_content(client: Any, run_id: str, plan: RunPlan, tags: Mapping[str, str]) -> None:
    """Log what MLflow can overwrite: tags and artifacts."""
    from mlflow.entities import RunTag

    client.update_run(run_id, status="RUNNING")
    for batch in _batches([RunTag(key, value) for key, value in tags.items()], _PAIRS_A_BATCH):
        client.log_batch(run_id, tags=batch)
    for path, text in plan.texts.items():
        client.log_text(run_id, text, path)
    for file in plan.files:
        client.log_artifact(run_id, str(file))


def _batches(values: Sequence[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(values)
    while batch := list(islice(rest, size)):
        yield batch
