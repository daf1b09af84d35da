"""The verdict: one sentence with the change of each capability, its significance, and every significant loss.

The outcome is judged against the control, the same training without sources (without a control: against the
target before training), on the capabilities' average scores, at adjusted p < 1 - confidence. A significant
loss against the control or against the target before training is always named.
"""

from collections.abc import Sequence
from typing import Literal

from harness.comparison.headline import CapabilityDifference, headline
from harness.core.formats import interval, listed, p_value, plural, signed
from harness.core.record import AVERAGE, Difference, Role, Row, Verdict

AGAINST = {Role.CONTROL: "the same training without sources", Role.TARGET: "the target before training"}
OPENING = {
    "gain": "Fusion helped",
    "loss": "Fusion hurt",
    "mixed": "Fusion helped and hurt",
    "no change": "Fusion made no clear difference",
}
Outcome = Literal["gain", "no change", "loss", "mixed"]


def verdict(
    rows: Sequence[Row],
    confidence: float,
    overall: Row | None = None,
    correction: Literal["holm", "bh"] = "holm",
) -> Verdict:
    """Judge the capability averages among `rows`; `overall` is only reported beside them."""
    findings = [
        CapabilityDifference(row.capability, difference, 1 - confidence)
        for row in rows
        if row.benchmark == AVERAGE and row.unit == "%"
        for difference in row.differences
    ]
    yardstick = next((r for r in (Role.CONTROL, Role.TARGET) if _against(findings, r)), None)
    if yardstick is None:
        return Verdict(outcome="none", sentence=_nothing(rows), headline=_nothing(rows))
    judged = _against(findings, yardstick)
    outcome = _outcome(judged)
    parts = [_main(outcome, yardstick, judged)]
    if yardstick is Role.CONTROL and (before := _against(findings, Role.TARGET)):
        parts.append(f"against {AGAINST[Role.TARGET]}, {_phrase(before)}")
    parts += [clause for clause in (*_sources(findings), _unscored(rows)) if clause]
    whole = next((d for d in overall.differences if d.role is yardstick), None) if overall else None
    return Verdict(
        outcome=outcome,
        sentence="; ".join(parts) + ".",
        headline=headline(judged, AGAINST[yardstick], correction, whole),
    )


def _against(findings: Sequence[CapabilityDifference], role: Role) -> list[CapabilityDifference]:
    return [f for f in findings if f.difference.role is role]


def _outcome(findings: Sequence[CapabilityDifference]) -> Outcome:
    gains, losses = any(f.gained for f in findings), any(f.lost for f in findings)
    if gains and losses:
        return "mixed"
    if gains:
        return "gain"
    return "loss" if losses else "no change"


def _nothing(rows: Sequence[Row]) -> str:
    if not rows:
        return "Nothing was scored."
    reason = _unscored(rows) or "there is no fused model with a control or the target before training"
    return f"No verdict: {reason}."


def _main(outcome: Outcome, yardstick: Role, findings: Sequence[CapabilityDifference]) -> str:
    return f"{OPENING[outcome]}: against {AGAINST[yardstick]}, {_phrase(findings, counts=True)}"


def _phrase(findings: Sequence[CapabilityDifference], *, counts: bool = False) -> str:
    """Gains and losses with p-values, then what is not significant with intervals (and numbers of items)."""
    gains = [_sure(f, counts) for f in findings if f.gained]
    losses = [_sure(f, counts) for f in findings if f.lost]
    still_open = [_open(f, counts) for f in findings if not f.sure]
    parts = [listed(gains)] if gains else []
    if losses:
        parts.append(("but " if gains else "") + listed(losses))
    if still_open:
        parts.append(f"no significant difference on {listed(still_open)}")
    return ", ".join(parts)


def _sure(finding: CapabilityDifference, counts: bool) -> str:
    d = finding.difference
    return (
        f"{signed(d.difference)} points on {finding.capability} ({p_value(d.p_adjusted)}{_items(d, counts)})"
    )


def _open(finding: CapabilityDifference, counts: bool) -> str:
    d = finding.difference
    return f"{finding.capability} (interval {interval(d.low, d.high)}{_items(d, counts)})"


def _items(difference: Difference, counts: bool) -> str:
    return f", {plural(difference.n, 'item')}" if counts else ""


def _sources(findings: Sequence[CapabilityDifference]) -> tuple[str, str]:
    """The sources that fused is significantly better than, and those that it is significantly worse than."""
    names = dict.fromkeys(f.difference.opponent for f in _against(findings, Role.SOURCE))
    beats, trails = [], []
    for name in names:
        own = [f for f in findings if f.difference.opponent == name]
        if won := [f.capability for f in own if f.gained]:
            beats.append(f"{name} on {listed(won)}")
        if behind := [f"{f.capability} ({signed(f.difference.difference)})" for f in own if f.lost]:
            trails.append(f"{name} on {listed(behind)}")
    return (
        f"fused beats {', '.join(beats)}" if beats else "",
        f"fused still trails {', '.join(trails)}" if trails else "",
    )


def _unscored(rows: Sequence[Row]) -> str:
    scored = {row.capability for row in rows if row.benchmark == AVERAGE and row.unit == "%"}
    missing = [c for c in dict.fromkeys(row.capability for row in rows) if c not in scored]
    return f"no scores for {listed(missing)}" if missing else ""
