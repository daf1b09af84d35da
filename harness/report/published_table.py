"""A table of published scores next to the run's own; never paired, since items and software differ."""

from harness.core.exceptions import InputError
from harness.core.formats import number, signed
from harness.core.record import Role, Row, RunRecord
from harness.report.markup import Markup, join, tag
from harness.report.rows import ROLE_NAMES, score_rows
from harness.suite.published import Published, PublishedBenchmark, read_published

SHOWN = (Role.TARGET, Role.CONTROL, Role.FUSED)


def published_section(record: RunRecord) -> Markup | None:
    """The table that the suite names under comparison.published; None where it names none."""
    name = record.suite.get("comparison", {}).get("published")
    if not name:
        return None
    try:
        published = read_published(name)
    except InputError as error:  # the rest of the report is still useful
        return tag("p", f"Published numbers cannot be shown: {error.message}")
    rows = {r.benchmark: r for r in score_rows(record.comparison) if r.headline}
    shared = [(k, b, rows[k]) for k, b in published.benchmarks.items() if k in rows]
    if not shared:
        return tag("p", f"None of the benchmarks published in {published.source} was scored in this run.")
    return join(
        [
            tag("p", f"{published.source}. {published.note}", class_="muted"),
            tag("div", _table(published, shared), class_="scroll"),
        ]
    )


def _table(published: Published, shared: list[tuple[str, PublishedBenchmark, Row]]) -> Markup:
    titles = [(ROLE_NAMES[role], side) for role in SHOWN for side in ("published", "this run")]
    titles += [("fused minus control", "published"), ("fused minus control", "this run")]
    cells = [
        tag("th", tag("span", who, class_="role"), side, scope="col", class_="number") for who, side in titles
    ]
    head = tag("tr", tag("th", "Benchmark", scope="col"), cells)
    return tag("table", tag("thead", head), tag("tbody", [_row(published, *each) for each in shared]))


def _row(published: Published, name: str, benchmark: PublishedBenchmark, row: Row) -> Markup:
    theirs = {role: _published(published, benchmark, role) for role in SHOWN}
    ours = {c.role: c.value for c in row.cells}
    values = [_shown(side.get(role)) for role in SHOWN for side in (theirs, ours)]
    values += [_gap(theirs), _gap(ours)]
    metric = row.metric if row.metric == benchmark.metric else f"{row.metric}; published: {benchmark.metric}"
    label = tag("th", name, tag("small", f"{metric}. {benchmark.setting}"), scope="row")
    return tag("tr", label, [tag("td", value, class_="number") for value in values])


def _published(published: Published, benchmark: PublishedBenchmark, role: Role) -> float | None:
    scores = (benchmark.scores.get(model) for model in published.model_in_role(role))
    return next((s for s in scores if s is not None), None)


def _shown(value: float | None) -> str:
    return "–" if value is None else number(value)


def _gap(scores: dict[Role, float | None] | dict[Role, float]) -> str:
    fused, control = scores.get(Role.FUSED), scores.get(Role.CONTROL)
    return "–" if fused is None or control is None else signed(fused - control)
