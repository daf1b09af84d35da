"""Links into MLflow's web UI, and the command that starts it."""

import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from harness.core.redaction import redact, without_login

DEFAULT_UI = "http://127.0.0.1:5000"
_MODE = "workflowType=machine_learning"  # without it MLflow opens its overview for chat applications


@dataclass(frozen=True)
class TrackingLinks:
    """Links to a synced run. `command` starts the UI; empty if a server already runs."""

    experiment_id: str
    parent_run: str
    view: str  # charts of all models, differences from the target
    table: str  # one line per model
    samples: str  # predictions of all models side by side
    compare: str  # MLflow's own comparison page
    report: str  # report.html of the run
    command: str


def links(
    experiment: str, parent: str, models: Sequence[str], view: str, *, base: str, command: str
) -> TrackingLinks:
    """The links; `models` are run ids, `view` the saved view's id.

    Links with `viewStateShareKey` must not have a filter or an order, which would disable the saved view.
    """
    page = f"{base.rstrip('/')}/#"
    runs = f"{page}/experiments/{experiment}/runs?{_MODE}"
    chosen = f"runs={_json(list(models))}&experiments={_json([experiment])}"
    return TrackingLinks(
        experiment_id=experiment,
        parent_run=parent,
        view=f"{runs}&compareRunsMode=CHART&viewStateShareKey={view}",
        table=f"{runs}&viewStateShareKey={view}",
        samples=f"{runs}&compareRunsMode=ARTIFACT&viewStateShareKey={view}",
        compare=f"{page}/compare-runs?{chosen}&{_MODE}",
        report=f"{page}/experiments/{experiment}/runs/{parent}/artifacts/report.html?{_MODE}",
        command=command,
    )


def ui_base(uri: str, ui: str | None) -> str:
    """The UI's address: `ui` if given, else the tracking server, else what `ui_command` starts."""
    return without_login(ui or (uri if uri.startswith(("http://", "https://")) else DEFAULT_UI))


def ui_command(uri: str, base: str) -> str:
    """The command that shows a database in MLflow's UI; empty for a server, which has its own.

    A password in the address is masked; the user has to fill it in.
    """
    if uri.startswith(("http://", "https://")):
        return ""
    port = urlsplit(base).port or 5000
    return f"{_mlflow_program()} ui --backend-store-uri {shlex.quote(redact(uri))} --port {port} --workers 1"


def _mlflow_program() -> str:
    """`mlflow` if it is on the PATH, else the one of this environment."""
    beside = Path(sys.executable).with_name("mlflow")
    return "mlflow" if shutil.which("mlflow") or not beside.exists() else shlex.quote(str(beside))


def _json(value: list[str]) -> str:
    return quote(json.dumps(value, separators=(",", ":")))
