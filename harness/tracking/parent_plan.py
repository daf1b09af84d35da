"""The run as a whole as an MLflow run: the verdict, the differences, what it cost, the report."""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path

from harness.core.formats import number, signed
from harness.core.record import Role, RunRecord
from harness.tracking.metric_names import clean, metric_key
from harness.tracking.model_plan import LARGEST_TAG, start_of
from harness.tracking.run_plan import COMPARISON, ROLE, RunPlan, digest, flat
from harness.tracking.scores import Line, change, headline, models_with

PARENT_ROLE = "comparison"
_PUBLISHED = ("report.html", "report.md", "run.json")


def parent_plan(record: RunRecord, run_dir: Path, all_lines: Sequence[Line]) -> RunPlan:
    seconds = sum(stage.seconds for stage in record.stages)
    return RunPlan(
        key=digest([record.run]),
        name=record.run,
        started=start_of(record),
        duration=max(1000, int(1000 * seconds)),
        tags={
            COMPARISON: record.run,
            ROLE: PARENT_ROLE,
            "mlflow.note.content": description(record, all_lines),
        },
        params=_params(record),
        metrics=_finite({**_deltas(record, all_lines), **_costs(record), **_method_counts(record)}),
        files=tuple(path for name in _PUBLISHED if (path := run_dir / name).exists()),
    )


def _params(record: RunRecord) -> dict[str, str]:
    names = {role: ", ".join(m.name for m in record.models if m.role == role) for role in Role}
    return {
        "suite": str(record.suite.get("name", "")),
        "target": names[Role.TARGET],
        "sources": names[Role.SOURCE],
        "control": names[Role.CONTROL],
        "fused": names[Role.FUSED],
        "seed": str(record.seed),
        "outcome": record.comparison.verdict.outcome,
        "overrides": " ".join(record.overrides),
        **flat("fusion", record.suite.get("fusion", {})),
        **flat("training", record.suite.get("training", {})),
        **flat("version", record.versions),
        **flat("hardware", record.hardware),
    }


def _deltas(record: RunRecord, all_lines: Sequence[Line]) -> dict[str, float]:
    """`delta_vs_<opponent>/<metric>`, averages first: percentage points, or bits per byte."""
    found: dict[str, float] = {}
    for fused in models_with(record.comparison, Role.FUSED)[:1]:
        for line in all_lines:
            for section, opponent in _opponents(record, line):
                value = change(line, fused, opponent)
                if value is not None:
                    found[metric_key(section, *line.label.split("."))] = line.rounded(value)
    return found


def _opponents(record: RunRecord, line: Line) -> Iterator[tuple[str, str]]:
    for role in (Role.TARGET, Role.CONTROL):
        for model in models_with(record.comparison, role)[:1]:
            yield f"delta_vs_{role.value}", model
    sources = [m for m in models_with(record.comparison, Role.SOURCE) if m in line.values]
    if sources:
        chosen = max if line.higher_is_better else min
        yield "delta_vs_best_source", chosen(sources, key=lambda m: line.values[m])


def _costs(record: RunRecord) -> dict[str, float]:
    """Seconds and bytes of every stage, added up where a stage ran once per model."""
    costs: dict[str, float] = {"cost/total.seconds": 0.0, "cost/total.bytes": 0.0}
    for stage in record.stages:
        for name in (stage.name, "total"):
            for unit, value in (("seconds", stage.seconds), ("bytes", float(stage.bytes))):
                key = f"cost/{clean(name)}.{unit}"
                costs[key] = costs.get(key, 0.0) + value
    return {key: round(value, 3) for key, value in costs.items()}


def _method_counts(record: RunRecord) -> dict[str, float]:
    """What share of positions each source reached, and whose distributions taught, in percent."""
    coverage = {
        metric_key("coverage", source, what): share
        for source, shares in record.coverage.items()
        for what, share in shares.items()
    }
    by_part = {
        metric_key("attribution", part, model): share
        for part, shares in record.attribution_by_part.items()
        for model, share in shares.items()
    }
    return coverage | by_part | {metric_key("attribution", m): p for m, p in record.attribution.items()}


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {key: value for key, value in metrics.items() if isfinite(value)}


def description(record: RunRecord, all_lines: Sequence[Line]) -> str:
    """Markdown: the verdict, the headline lines, where the rest is; within MLflow's limit for a tag."""
    chosen = headline(all_lines)
    chosen += [line for line in all_lines if line not in chosen and line.row and line.row.headline]
    models = [model.name for model in record.models]
    head = [record.comparison.verdict.sentence, "", *_table_head(record, models)]
    tail = [
        "",
        "Percent unless named otherwise; best per line in bold; the last columns are fused minus that model. "
        "Intervals, tests and pictures: Artifacts, report.html.",
        *(f"- {note}" for note in record.notes),
    ]
    room = LARGEST_TAG - sum(len(line) + 1 for line in [*head, *tail])
    return "\n".join([*head, *_fitting(record, chosen, models, room), *tail])[:LARGEST_TAG]


def _table_head(record: RunRecord, models: Sequence[str]) -> list[str]:
    against = [f"vs {opponent}" for opponent in _compared(record)]
    return [
        "| | " + " | ".join([*models, *against]) + " |",
        "|---|" + "---:|" * (len(models) + len(against)),
    ]


def _compared(record: RunRecord) -> list[str]:
    return [m for role in (Role.TARGET, Role.CONTROL) for m in models_with(record.comparison, role)]


def _fitting(record: RunRecord, chosen: Sequence[Line], models: Sequence[str], room: int) -> list[str]:
    rows: list[str] = []
    for line in chosen:
        row = _table_row(line, models, _changes(record, line))
        room -= len(row) + 1
        if room < 0:
            return rows
        rows.append(row)
    return rows


def _changes(record: RunRecord, line: Line) -> list[float | None]:
    fused = models_with(record.comparison, Role.FUSED)[:1]
    return [change(line, f, opponent) for f in fused for opponent in _compared(record)]


def _table_row(line: Line, models: Sequence[str], changes: Sequence[float | None]) -> str:
    best, cells = line.best(), []
    for model in models:
        value = line.values.get(model)
        text = "" if value is None else number(value, line.unit)
        cells.append(f"**{text}**" if value is not None and value == best else text)
    cells += ["" if value is None else signed(value, line.unit) for value in changes]
    unit = "" if line.unit == "%" else f" ({line.unit})"
    return "| " + " | ".join([line.label + unit, *cells]) + " |"
