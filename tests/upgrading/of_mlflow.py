"""What is assumed of MLflow and its server."""

import json
import zlib
from base64 import b64decode
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.upgrading.assumption import assumes


@cache
def _page() -> str:
    """The scripts of MLflow's web page, 22 MB."""
    import mlflow

    folder = Path(mlflow.__file__).parent / "server" / "js" / "build" / "static" / "js"
    return "".join(path.read_text(encoding="utf-8", errors="replace") for path in folder.glob("*.js"))


def _missing(words: Any) -> list[str]:
    return sorted(word for word in set(words) if word not in _page())


@assumes(
    "mlflow",
    "the tag mlflow.sharedViewState.*",
    used_in="harness.tracking.saved_view",
    spelled="sharedViewState deflate;",
    assumed="JSON with `name`, `createdAt`, `updatedAt` and `state`: `deflate;` and the base64 of the page's "
    "state, in the words of its charts and sections",
    why="only the page makes saved views",
    breaks="the link to the comparison opens the plain list of runs",
)
def saved_views() -> None:
    from harness.tracking.saved_view import view_tag, view_value

    value = json.loads(view_value("run", ["a/b"], ["c/d"], ["e/f"], baseline="x", created=1))
    kind, packed = value["state"].split(";", 1)
    state = json.loads(zlib.decompress(b64decode(packed)))
    prefix = view_tag("run").rpartition(".")[0]
    assert not _missing([prefix, f"{kind};", *_keys(value), *_keys(state), *_choices(state)])


def _keys(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _keys(inner)


def _choices(state: Any) -> Iterator[str]:
    """Words that the page gives a meaning: kinds of charts, and what is shown."""
    yield from (chart["type"] for chart in state["compareRunCharts"])
    yield from (
        state[name] for name in ("runsHiddenMode", "lifecycleFilter", "modelVersionFilter", "startTime")
    )
    yield from ("Model metrics", "yAxisExpressions")


@assumes(
    "mlflow",
    "addresses within the page",
    used_in="harness.tracking.links",
    spelled="workflowType compareRunsMode viewStateShareKey compare-runs",
    assumed="`viewStateShareKey` opens a saved view, `compareRunsMode` CHART or ARTIFACT a way of comparing, "
    "`workflowType=machine_learning` the list of runs; `/compare-runs?runs=&experiments=`",
    why="addresses of the page are not documented",
    breaks="links of a run open another part of the page",
)
def addresses_of_the_page() -> None:
    assert not _missing(
        [
            "viewStateShareKey",
            "compareRunsMode",
            "CHART",
            "ARTIFACT",
            "workflowType",
            "machine_learning",
            "compare-runs",
        ]
    )


@assumes(
    "mlflow",
    "tags that the page reads",
    used_in="harness.tracking.model_plan harness.tracking.writing harness.tracking.sync",
    spelled="mlflow.runColor mlflow.loggedArtifacts mlflow.experimentKind "
    "mlflow.experiment.primaryMetric.name mlflow.parentRunId mlflow.note.content mlflow.data.context",
    assumed="`mlflow.runColor`, `mlflow.loggedArtifacts` (JSON of `path` and `type`), "
    "`mlflow.experimentKind`, `mlflow.experiment.primaryMetric.name`, `mlflow.parentRunId`, "
    "`mlflow.note.content`, `mlflow.data.context`",
    why="only some of them are documented as system tags",
    breaks="colours, samples side by side, the tree of runs, or the metric that the list is sorted by",
)
def tags_of_the_page() -> None:
    from mlflow.utils import mlflow_tags

    known = {value for value in vars(mlflow_tags).values() if isinstance(value, str)}
    python = (
        "experiment.primaryMetric.name",
        "parentRunId",
        "note.content",
        "data.context",
        "user",
        "source.name",
    )
    assert {f"mlflow.{name}" for name in (*python, "loggedArtifacts")} <= known
    assert not _missing(
        ["mlflow.runColor", "mlflow.loggedArtifacts", "mlflow.experimentKind", "custom_model_development"]
    )


@assumes(
    "mlflow",
    "limits of one request",
    used_in="harness.tracking.writing harness.tracking.saved_view harness.tracking.model_plan",
    spelled="_METRICS_A_BATCH _PAIRS_A_BATCH _LONGEST_VALUE LARGEST LARGEST_TAG",
    assumed="1000 metrics, 100 parameters or tags, parameters of 6000 characters, tags of 8000, tags of an "
    "experiment of 20 000",
    why="the limits stand in a module of MLflow's own checks",
    breaks="a sync is refused, or the saved view is cut",
)
def limits_of_a_request() -> None:
    from mlflow.utils import validation

    from harness.tracking import model_plan, saved_view, writing

    assert writing._METRICS_A_BATCH <= validation.MAX_METRICS_PER_BATCH
    assert writing._PAIRS_A_BATCH <= validation.MAX_PARAMS_TAGS_PER_BATCH
    assert writing._LONGEST_VALUE <= validation.MAX_PARAM_VAL_LENGTH
    assert model_plan.LARGEST_TAG <= validation.MAX_TAG_VAL_LENGTH
    assert saved_view.LARGEST <= validation.MAX_EXPERIMENT_TAG_VAL_LENGTH


@assumes(
    "mlflow",
    "environment variables",
    used_in="harness.tracking.server harness.tracking.ui",
    spelled="MLFLOW_HTTP_REQUEST_MAX_RETRIES MLFLOW_SERVER_ENABLE_JOB_EXECUTION MLFLOW_BACKEND_STORE_URI",
    assumed="those of `SETTINGS` and `LIGHT`, and `MLFLOW_BACKEND_STORE_URI` and "
    "`MLFLOW_DEFAULT_ARTIFACT_ROOT` of `mlflow server`",
    why="some are documented, others are found in MLflow's source alone",
    breaks="a dead server is waited for by the minute, or `fusegauge ui` serves another database",
)
def environment_variables() -> None:
    from click import Command
    from mlflow import environment_variables as known
    from mlflow.cli import cli

    from harness.tracking.server import SETTINGS
    from harness.tracking.ui import LIGHT

    assert not [name for name in {**SETTINGS, **LIGHT} if not hasattr(known, name)]
    command: Command = cli.commands["server"]
    read = {option.envvar for option in command.params}
    assert {"MLFLOW_BACKEND_STORE_URI", "MLFLOW_DEFAULT_ARTIFACT_ROOT"} <= read


@assumes(
    "uvicorn",
    "log line Uvicorn running on",
    used_in="harness.tracking.ui",
    spelled="READY",
    assumed="what MLflow's server logs once the port is its own",
    why="that the port answers does not say whose server it is",
    breaks="`fusegauge ui` waits two minutes and gives up",
)
def line_of_a_server_that_is_ready() -> None:
    import inspect

    import uvicorn.server

    from harness.tracking.ui import READY

    assert READY.decode() in inspect.getsource(uvicorn.server.Server)
