"""The saved comparison view in MLflow: columns, order, charts and the table of differences.

MLflow keeps it in an experiment tag `mlflow.sharedViewState.<id>` in an undocumented format; it is tested
with MLflow 3.17, to which pyproject.toml pins the dependency.
"""

import json
import zlib
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from harness.tracking.parent_plan import PARENT_ROLE
from harness.tracking.run_plan import COMPARISON, ROLE, digest

LARGEST = 19_500  # characters; MLflow refuses an experiment tag above 20 000
AVERAGES = "Averages (%)"
CHANGE = "Change from target (bits: lower is better)"
TRAINING = "Training"
TOGETHER = "All capabilities"
Chart = dict[str, Any]


def view_id(run: str) -> str:
    return digest([run, "view"])


def view_tag(run: str) -> str:
    return f"mlflow.sharedViewState.{view_id(run)}"


def view_value(
    run: str,
    heads: Sequence[str],
    others: Sequence[str],
    curves: Sequence[str],
    *,
    baseline: str,
    created: int,
) -> str:
    """The tag's value: charts of `heads`, then of as many `others` as fit, and `curves` as lines.

    `baseline` is the run id that is subtracted in the table of differences.
    """
    count = len(others)
    while True:
        state = _state(run, heads, others[:count], curves, baseline)
        packed = "deflate;" + b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()
        name = f"{run}: fused and its sources"
        value = json.dumps({"name": name, "createdAt": created, "updatedAt": created, "state": packed})
        if len(value) <= LARGEST or count == 0:
            return value
        count = count * 3 // 4


def _state(
    run: str, heads: Sequence[str], others: Sequence[str], curves: Sequence[str], baseline: str
) -> dict[str, Any]:
    sections, charts = _sections(heads, others, curves, baseline)
    return {
        "searchFilter": f"tags.`{COMPARISON}` = '{run}' AND tags.`{ROLE}` != '{PARENT_ROLE}'",
        "orderByKey": f"metrics.`{heads[0]}`" if heads else "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": [f"tags.`{ROLE}`", *(f"metrics.`{key}`" for key in heads)],
        "columnOrder": [],
        "columnWidths": {},
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": charts,
        "compareRunSections": sections,
        "isAccordionReordered": True,
        "viewMaximized": False,
        "runListHidden": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _sections(
    heads: Sequence[str], others: Sequence[str], curves: Sequence[str], baseline: str
) -> tuple[list[Chart], list[Chart]]:
    """Open sections for averages, changes and curves; one closed section per capability for the rest."""
    charts = [_bar(key, AVERAGES) for key in heads]
    charts.append(_difference(baseline))
    charts += [_line(key) for key in curves]
    charts.append(_parallel([*heads[1:], *heads[:1]]))
    sections = [_section(AVERAGES), _section(CHANGE, columns=1, cardHeight=520)]
    sections += [_section(TRAINING)] if curves else []
    sections.append(_section(TOGETHER, columns=1, cardHeight=420))
    rest = {key: key.rsplit("/", 1)[0] for key in others}
    sections += [_section(name, display=False) for name in dict.fromkeys(rest.values())]
    return sections, charts + [_bar(key, name) for key, name in rest.items()]


def _section(name: str, *, display: bool = True, **size: Any) -> Chart:
    fixed = {"isReordered": True, "deleted": False, "isGenerated": False}
    return {"uuid": name, "name": name, "display": display, **fixed, **size}


def _chart(kind: str, section: str, **rest: Any) -> Chart:
    """One chart. Its id is a name, not random, so that the packed state stays small; ids need only differ."""
    identity = f"{kind} {section} {rest.get('metricKey', '')}"
    fixed = {"metricSectionId": section, "deleted": False, "isGenerated": False}
    return {"type": kind, "uuid": identity, "runsCountToCompare": 20, **fixed, **rest}


def _bar(key: str, section: str) -> Chart:
    return _chart("BAR", section, metricKey=key, displayName=key)


def _line(key: str) -> Chart:
    axes = {"xAxisKey": "step", "selectedXAxisMetricKey": "", "yAxisKey": "metric", "yAxisExpressions": []}
    scale = {"xAxisScaleType": "linear", "scaleType": "linear", "range": {}, "lineSmoothness": 0}
    glob = {"useGlobalXaxisKey": True, "useGlobalLineSmoothing": True, "ignoreOutliers": False}
    keys = {"metricKey": key, "selectedMetricKeys": [key], "displayName": key}
    return _chart("LINE", TRAINING, **keys, **axes, **scale, **glob)


def _difference(baseline: str) -> Chart:
    return _chart(
        "DIFFERENCE",
        CHANGE,
        compareGroups=["Model metrics"],
        chartName="Change from target",
        showChangeFromBaseline=True,
        showDifferencesOnly=False,
        baselineColumnUuid=baseline,
    )


def _parallel(metrics: Sequence[str]) -> Chart:
    chosen = {"selectedParams": ["model"], "selectedMetrics": list(metrics), "showAllRuns": False}
    return _chart("PARALLEL", TOGETHER, **chosen)
