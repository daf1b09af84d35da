"""Tables on the run itself: training curves, transfer, stages, cost, reproducibility."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from harness.core.effort import for_fusion, spent, training_flops
from harness.core.formats import duration, interval, quantity, signed, size
from harness.core.record import AVERAGE, OVERALL, Role, RunRecord, StageEntry, TrainingCurve
from harness.report.charts import curve_panel
from harness.report.markup import Child, Markup, table, tag
from harness.report.rows import ROLE_NAMES
from harness.report.transfer import percent, transfer_cells

PANELS = {
    "loss": "training loss",
    "causal_lm_loss": "causal LM loss",
    "fusion_loss": "fusion loss",
    "eval_loss": "loss on held-out text",
}


def training_panels(record: RunRecord) -> Markup | None:
    """One panel per logged loss, all trainings overlaid."""
    roles = {m.name: m.role for m in (*record.models, *record.repeats)}
    panels = []
    for key, title in PANELS.items():
        curves = [(c.model, _kind(roles.get(c.model)), _series(c, key)) for c in record.training]
        if drawn := [c for c in curves if len(c[2]) > 1]:
            panels.append(curve_panel(title, drawn))
    return tag("div", panels, class_="panels") if panels else None


def transfer_table(record: RunRecord) -> Markup | None:
    """Per source, in total and by corpus part: coverage after alignment, and share of positions taught."""
    head, rows = transfer_cells(record)
    if not rows:
        return None
    head = [head[0].capitalize(), *head[1:]]
    return table(head, [list[Child](row) for row in rows], left=(0, 1))


def taught_table(record: RunRecord) -> Markup | None:
    """Per source: the share of positions it taught, and the gained items known to it, by capability."""
    changes = [
        c
        for c in record.comparison.changes
        if c.role is Role.FUSED and c.benchmark == AVERAGE and c.capability != OVERALL
    ]
    sources = [m.name for m in record.models if m.role is Role.SOURCE]
    if not changes or not record.attribution:
        return None
    gained = [f"known to it, of {c.gained} items gained in {c.capability}" for c in changes]
    head = ["Source", "positions taught", *gained]
    rows: list[list[Child]] = [
        [s, percent(record.attribution.get(s)), *(c.transferred_from.get(s, 0) for c in changes)]
        for s in sources
    ]
    return table(head, rows)


def stage_table(record: RunRecord) -> Markup:
    """Every stage: time, whether it was reused, tokens, FLOP, peak memory, bytes written, counts."""
    rows: list[list[Child]] = [
        [
            s.name,
            duration(s.seconds),
            "reused" if s.reused else "run",
            "" if s.tokens is None else quantity(s.tokens),
            "" if s.flops is None else quantity_of_flops(s.flops),
            "" if s.memory_bytes is None else size(s.memory_bytes),
            size(s.bytes),
            _facts(s.facts),
        ]
        for s in record.stages
    ]
    head = ["Stage", "time", "", "tokens", "compute", "peak memory", "written", "counts"]
    return table(head, rows, left=(2, 7))


def cost_table(record: RunRecord) -> Markup:
    """Time, storage and FLOP of this run, and the part that training without sources would not need."""
    parameters = {m.name: m.parameters for m in (*record.models, *record.repeats)}
    ran, reused = _seconds(record.stages, reused=False), _seconds(record.stages, reused=True)
    facts = {
        "time of this run": f"{duration(ran)} (reused stages took {duration(reused)} in earlier runs)",
        "written to disk": size(sum(s.bytes for s in record.stages)),
    }
    for curve in record.training:
        flops = training_flops(parameters.get(curve.model, 0), curve.tokens)
        effort = f", about {quantity_of_flops(flops)}" if flops else ""
        facts[f"training of {curve.model}"] = f"{quantity(curve.tokens)} tokens{effort}"
    extra = spent(for_fusion(record.stages))
    if extra.tokens is not None:
        effort = f", about {quantity_of_flops(extra.flops)}" if extra.flops else ""
        facts["extra work for the sources"] = (
            f"{quantity(extra.tokens)} tokens read{effort}, {duration(extra.seconds)}"
        )
    peak = spent(record.stages).memory_bytes
    if peak is not None:
        facts["peak memory"] = size(peak)
    return fact_table(facts)


def gain_table(record: RunRecord) -> Markup | None:
    """The lead over the control per million training tokens; both were trained on the same tokens."""
    rows: list[list[Child]] = [
        [g.capability, f"{signed(g.points)} points", interval(g.low, g.high)] for g in record.gains
    ]
    head = ["Capability", "lead over the control per million training tokens", "interval"]
    return table(head, rows) if rows else None


def quantity_of_flops(flops: float) -> str:
    """FLOP with a decimal prefix."""
    for prefix in ("", "k", "M", "G", "T", "P", "E"):
        if flops < 999.5:
            return f"{flops:.1f} {prefix}FLOP"
        flops /= 1000
    return f"{flops:.1f} ZFLOP"


def reproducibility(record: RunRecord) -> list[Markup]:
    """Command, seeds, versions, hardware, fingerprints, and the complete suite."""
    facts: dict[str, Child] = {
        "command": tag("code", command(record)),
        "run": record.run,
        "created": record.created.strftime("%Y-%m-%d %H:%M:%S %Z").strip(),
        "seed": ", ".join(str(seed) for seed in record.seeds or (record.seed,)),
        "versions": ", ".join(f"{k} {v}" for k, v in record.versions.items()),
        "hardware": ", ".join(f"{k} {_plain(k, v)}" for k, v in record.hardware.items()),
    }
    models: list[list[Child]] = [
        [m.name, ROLE_NAMES[m.role], m.reference, quantity(m.parameters), tag("code", m.fingerprint[:16])]
        for m in (*record.models, *record.repeats)
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
        table(["Model", "role", "from", "parameters", "weights"], models, left=(1, 2, 4)),
        table(
            ["Benchmark", "tasks", "few-shot", "items", "code run in", "fingerprint"],
            benchmarks,
            left=(1, 4, 5),
        ),
        tag("details", tag("summary", "The complete suite of this run"), tag("pre", suite)),
    ]


def command(record: RunRecord) -> str:
    """The command line that reproduces the run."""
    name = str(record.suite.get("name", record.run))
    overrides = " ".join(f"--set {shlex.quote(o)}" for o in record.overrides)
    return f"fusegauge run-suite suites/{name}.yaml {overrides}".strip()


def fact_table(facts: Mapping[str, Child]) -> Markup:
    rows = [tag("tr", tag("th", key, scope="row"), tag("td", value)) for key, value in facts.items()]
    return tag("table", tag("tbody", rows), class_="facts")


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
