"""How the result came about: training curves, transfer, stages and cost, reproducibility."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from harness.formats import duration, quantity, size
from harness.report.markup import Child, Markup, tag
from harness.report.pictures import curve_panel
from harness.report.transfer import transfer_cells
from harness.results import Role, RunRecord, StageEntry, TrainingCurve
from harness.view import ROLE_NAMES

PANELS = {
    "loss": "training loss",
    "causal_lm_loss": "causal LM loss",
    "fusion_loss": "fusion loss",
    "eval_loss": "loss on held-out text",
}


def training_panels(record: RunRecord) -> Markup | None:
    """One panel per logged loss, all trainings overlaid."""
    roles = {m.name: m.role for m in record.models}
    panels = []
    for key, title in PANELS.items():
        curves = [(c.model, _kind(roles.get(c.model)), _series(c, key)) for c in record.training]
        if drawn := [c for c in curves if len(c[2]) > 1]:
            panels.append(curve_panel(title, drawn))
    return tag("div", panels, class_="panels") if panels else None


def transfer_table(record: RunRecord) -> Markup | None:
    """Per teacher, in all and by corpus part: how much of it reached the target, and how much it taught."""
    head, rows = transfer_cells(record)
    if not rows:
        return None
    head = [head[0].capitalize(), *head[1:]]
    return _table(head, [list[Child](row) for row in rows], left=(0, 1))


def stage_table(record: RunRecord) -> Markup:
    """Every stage with its time, whether it was reused, what it wrote and what it counted."""
    rows: list[list[Child]] = [
        [s.name, duration(s.seconds), "reused" if s.reused else "run", size(s.bytes), _facts(s.facts)]
        for s in record.stages
    ]
    return _table(["Stage", "time", "", "written", "counted"], rows, left=(2, 4))


def cost_table(record: RunRecord) -> Markup:
    """Time, storage and training effort of this run."""
    parameters = {m.name: m.parameters for m in record.models}
    ran, reused = _seconds(record.stages, reused=False), _seconds(record.stages, reused=True)
    facts = {
        "time of this run": f"{duration(ran)} ({duration(reused)} more had been spent on what was reused)",
        "written to disk": size(sum(s.bytes for s in record.stages)),
    }
    for curve in record.training:
        flops = 6 * parameters.get(curve.model, 0) * curve.tokens
        effort = f", about {quantity_of_flops(flops)}" if flops else ""
        facts[f"training of {curve.model}"] = f"{quantity(curve.tokens)} tokens{effort}"
    return fact_table(facts)


def quantity_of_flops(flops: float) -> str:
    """6 x parameters x tokens (Kaplan et al., 2020) in FLOP with a decimal prefix."""
    for prefix in ("", "k", "M", "G", "T", "P", "E"):
        if flops < 999.5:
            return f"{flops:.1f} {prefix}FLOP"
        flops /= 1000
    return f"{flops:.1f} ZFLOP"


def reproducibility(record: RunRecord) -> list[Markup]:
    """Command, seeds, versions, hardware, fingerprints, and the whole suite."""
    facts: dict[str, Child] = {
        "command": tag("code", command(record)),
        "run": record.run,
        "created": record.created.strftime("%Y-%m-%d %H:%M:%S %Z").strip(),
        "seed": record.seed,
        "versions": ", ".join(f"{k} {v}" for k, v in record.versions.items()),
        "hardware": ", ".join(f"{k} {_plain(k, v)}" for k, v in record.hardware.items()),
    }
    models: list[list[Child]] = [
        [m.name, ROLE_NAMES[m.role], m.reference, quantity(m.parameters), tag("code", m.fingerprint[:16])]
        for m in record.models
    ]
    benchmarks: list[list[Child]] = [
        [
            b.name,
            ", ".join(b.tasks),
            _or_own(b.num_fewshot),
            b.items,
            b.executed or "–",
            tag("code", b.fingerprint[:16]),
        ]
        for b in record.benchmarks
    ]
    suite = yaml.safe_dump(record.suite, sort_keys=False, allow_unicode=True)
    return [
        fact_table(facts),
        _table(["Model", "role", "from", "parameters", "weights"], models, left=(1, 2, 4)),
        _table(
            ["Benchmark", "tasks", "few-shot", "items", "code run in", "fingerprint"],
            benchmarks,
            left=(1, 4, 5),
        ),
        tag("details", tag("summary", "The whole suite as it was run"), tag("pre", suite)),
    ]


def command(record: RunRecord) -> str:
    """The command line that repeats the run."""
    name = str(record.suite.get("name", record.run))
    overrides = " ".join(f"--set {shlex.quote(o)}" for o in record.overrides)
    return f"fusegauge run-suite suites/{name}.yaml {overrides}".strip()


def fact_table(facts: Mapping[str, Child]) -> Markup:
    rows = [tag("tr", tag("th", key, scope="row"), tag("td", value)) for key, value in facts.items()]
    return tag("table", tag("tbody", rows), class_="facts")


def _table(head: list[str], rows: Iterable[list[Child]], left: tuple[int, ...] = ()) -> Markup:
    """Columns other than the first and those in `left` are numbers."""

    def css(column: int) -> str | None:
        return None if column == 0 or column in left else "number"

    header = tag("tr", [tag("th", h, scope="col", class_=css(i)) for i, h in enumerate(head)])
    body = [tag("tr", [tag("td", v, class_=css(i)) for i, v in enumerate(row)]) for row in rows]
    return tag("div", tag("table", tag("thead", header), tag("tbody", body)), class_="scroll")


def _series(curve: TrainingCurve, key: str) -> list[tuple[float, float]]:
    return [(p["step"], p[key]) for p in curve.points if key in p and "step" in p]


def _kind(role: Role | None) -> str:
    return role.value if role in (Role.FUSED, Role.CONTROL) else "other"


def _or_own(shots: int | None) -> str:
    return "task's own" if shots is None else str(shots)


def _seconds(stages: Iterable[StageEntry], *, reused: bool) -> float:
    return sum(s.seconds for s in stages if s.reused is reused)


def _plain(key: str, value: Any) -> str:
    return size(value) if key.endswith("bytes") and isinstance(value, int | float) else str(value)


def _facts(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {_fact(v)}" for k, v in facts.items() if not isinstance(v, dict | list | tuple))


def _fact(value: Any) -> str:
    if isinstance(value, str) and len(value) > 24:  # a fingerprint
        return f"{value[:16]}…"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
