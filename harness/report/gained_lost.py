"""Bars of gained and lost items, and a table of the gap to the oracle that was closed."""

from collections.abc import Iterator, Sequence

from harness.core.formats import interval, number, plural
from harness.core.record import AVERAGE, Change, Comparison, Role
from harness.report.charts import change_track
from harness.report.markup import Child, Markup, table, tag

LONE = 1  # a capability with so many benchmarks needs no line of its own


def change_bars(comparison: Comparison) -> Markup | None:
    """Per benchmark, for fused and below it for the control: items lost to the left, gained to the right."""
    changes = shown_changes(comparison)
    if not changes:
        return None
    reach = max(max(c.gained, c.lost) / c.n for c in changes) or 1.0
    return tag("div", [_line(c, reach) for c in changes], class_="bars")


def shown_changes(comparison: Comparison) -> list[Change]:
    """Benchmarks, then their capability if it has several; fused before the control."""
    found = []
    for capability in dict.fromkeys(c.capability for c in comparison.changes):
        own = [c for c in comparison.changes if c.capability == capability]
        names = list(dict.fromkeys(c.benchmark for c in own if c.benchmark != AVERAGE))
        names += [AVERAGE] if len(names) > LONE else []
        for name in names:
            found += sorted((c for c in own if c.benchmark == name), key=lambda c: c.role is Role.CONTROL)
    return found


def change_name(change: Change) -> str:
    return f"{change.capability}, all" if change.benchmark == AVERAGE else change.benchmark


def change_words(change: Change) -> str:
    """'25 gained, 21 of them known to a source; 3 lost, 2 of them known to a source; 32 unchanged'."""
    gained = f"{change.gained} gained" + _of_them(change.transferred, change.gained)
    lost = f"{change.lost} lost" + _of_them(change.interference, change.lost)
    return f"{gained}; {lost}; {change.kept} unchanged"


def _of_them(known: int, count: int) -> str:
    return f", {known} of them known to a source" if count else ""


def _line(change: Change, reach: float) -> Markup:
    fused = change.role is Role.FUSED
    name = tag("b", change_name(change)) if fused else ""
    counts = (change.gained, change.transferred, change.lost, change.interference)
    shares = [100 * count / change.n / reach for count in counts]
    track = change_track(*shares, fused=fused, label=f"{change.model}: {change_words(change)}")
    return tag(
        "div",
        tag("div", name, " ", tag("small", change.model), class_="name"),
        tag("div", track, class_="track-cell"),
        tag("div", change_words(change), class_="fact"),
        class_="row is-fused" if fused else "row",
    )


def gap_table(comparison: Comparison, sources: Sequence[str]) -> Markup | None:
    """Per benchmark: gap closed by fused and control, scores, oracle, gained items known to each source."""
    changes = [c for c in shown_changes(comparison) if c.role is Role.FUSED and c.unit == "%"]
    if not changes:
        return None
    known = [f"known to {source}" for source in sources]
    head = [
        "Benchmark",
        "gap closed",
        "gap closed by the control",
        "target before",
        "fused",
        "oracle",
        *known,
    ]
    return table(head, [list(_gap_row(c, comparison, sources)) for c in changes])


def _gap_row(change: Change, comparison: Comparison, sources: Sequence[str]) -> Iterator[Child]:
    yield change_name(change)
    yield gap_words(change)
    control = (
        c
        for c in comparison.changes
        if c.role is Role.CONTROL and (c.capability, c.benchmark) == (change.capability, change.benchmark)
    )
    yield next((gap_words(c) for c in control), "–")
    yield from (number(v) for v in (change.before, change.after, change.oracle))
    yield from (plural(change.transferred_from.get(s, 0), "item") for s in sources)


def gap_words(change: Change) -> str:
    """'81 % (+65 to +97)': the share of the gap that was closed, and its interval."""
    if change.gap_closed is None:
        return "no gap"
    share = f"{number(change.gap_closed)} %"
    if change.gap_low is None or change.gap_high is None:
        return f"{share} (too few items for an interval)"
    return f"{share} ({interval(change.gap_low, change.gap_high)})"
