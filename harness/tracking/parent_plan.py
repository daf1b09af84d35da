"""The parent MLflow run of a FuseGauge run: verdict, differences, costs, report."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from math import isfinite
from pathlib import Path

from harness.core.formats import number, signed
from harness.core.record import Role, RunRecord
from harness.tracking.metric_names import clean, metric_key
from harness.tracking.model_plan import LARGEST_TAG, start_of
from harness.tracking.run_plan import COMPARISON, ROLE, RunPlan, digest, flat
from harness.tracking.scores import KeyedRow, headline

PARENT_ROLE = "comparison"
_PUBLISHED = ("report.html", "report.md", "run.json")


def parent_plan(record: RunRecord, run_dir: Path, rows: Sequence[KeyedRow]) -> RunPlan:
    seconds = sum(stage.seconds for stage in record.stages)
    return RunPlan(
        key=digest([record.run]),
        name=record.run,
        started=start_of(record),
        duration=max(1000, int(1000 * seconds)),
        tags={
            COMPARISON: record.run,
            ROLE: PARENT_ROLE,
            "mlflow.note.content": description(record, rows),
        },
        params=_params(record),
        metrics=_finite({**_deltas(record, rows), **_costs(record), **_method_counts(record)}),
        files=tuple(path for name in _PUBLISHED if (path := run_dir / name).exists()),
    )


def _params(record: RunRecord) -> dict[str, str]:
    names = {role: ", ".join(_with_role(record, role)) for role in Role}
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


def _deltas(record: RunRecord, rows: Sequence[KeyedRow]) -> dict[str, float]:
    """`delta_vs_<opponent>/<metric>`, averages first: percentage points, or bits per byte."""
    found: dict[str, float] = {}
    for keyed in rows:
        for section, opponent in _opponents(record, keyed):
            value = keyed.change(opponent)
            if value is not None:
                found[metric_key(section, *keyed.label.split("."))] = keyed.rounded(value)
    return found


def _opponents(record: RunRecord, keyed: KeyedRow) -> Iterator[tuple[str, str]]:
    for role in (Role.TARGET, Role.CONTROL):
        for model in _with_role(record, role)[:1]:
            yield f"delta_vs_{role.value}", model
    if best := keyed.best_of(_with_role(record, Role.SOURCE)):
        yield "delta_vs_best_source", best


def _with_role(record: RunRecord, role: Role) -> list[str]:
    return [model.name for model in record.models if model.role == role]


def _costs(record: RunRecord) -> dict[str, float]:
    """Seconds and bytes of every stage, summed over models if a stage runs once per model."""
    costs: dict[str, float] = {"cost/total.seconds": 0.0, "cost/total.bytes": 0.0}
    for stage in record.stages:
        for name in (stage.name, "total"):
            for unit, value in (("seconds", stage.seconds), ("bytes", float(stage.bytes))):
                key = f"cost/{clean(name)}.{unit}"
                costs[key] = costs.get(key, 0.0) + value
    return {key: round(value, 3) for key, value in costs.items()}


def _method_counts(record: RunRecord) -> dict[str, float]:
    """Coverage of each source and attribution to each model, in percent."""
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


def description(record: RunRecord, rows: Sequence[KeyedRow]) -> str:
    """Markdown with the verdict and the headline rows, within MLflow's limit for a tag."""
    chosen = headline(rows)
    chosen += [keyed for keyed in rows if keyed not in chosen and keyed.row.headline]
    models = [model.name for model in record.models]
    against = [name for role in (Role.TARGET, Role.CONTROL) for name in _with_role(record, role)]
    head = [record.comparison.verdict.sentence, "", *_table_head(models, against)]
    tail = [
        "",
        "In percent unless stated otherwise; the best model of each row is bold; the last columns are fused "
        "minus that model. For intervals, tests and charts see Artifacts, report.html.",
        *(f"- {note}" for note in record.notes),
    ]
    room = LARGEST_TAG - sum(len(line) + 1 for line in [*head, *tail])
    lines = [_table_line(keyed, models, against) for keyed in chosen]
    return "\n".join([*head, *_fitting(lines, room), *tail])[:LARGEST_TAG]


def _table_head(models: Sequence[str], against: Sequence[str]) -> list[str]:
    return [
        "| | " + " | ".join([*models, *(f"vs {opponent}" for opponent in against)]) + " |",
        "|---|" + "---:|" * (len(models) + len(against)),
    ]


def _fitting(lines: Sequence[str], room: int) -> list[str]:
    """The first lines that fit into `room` characters, line ends included."""
    ends = accumulate(len(line) + 1 for line in lines)
    return [line for line, end in zip(lines, ends, strict=True) if end <= room]


def _table_line(keyed: KeyedRow, models: Sequence[str], against: Sequence[str]) -> str:
    unit, best = keyed.row.unit, keyed.best_of(models)
    changes = (keyed.change(opponent) for opponent in against)
    cells = [_score(keyed, model, best) for model in models]
    cells += ["" if value is None else signed(value, unit) for value in changes]
    return "| " + " | ".join([keyed.label + ("" if unit == "%" else f" ({unit})"), *cells]) + " |"


def _score(keyed: KeyedRow, model: str, best: str | None) -> str:
    if best is None or model not in keyed.values:
        return ""
    text = number(keyed.values[model], keyed.row.unit)
    equal = keyed.rounded(keyed.values[model]) == keyed.rounded(keyed.values[best])
    return f"**{text}**" if equal else text
