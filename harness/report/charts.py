"""Charts as inline SVG, in percentages so that they follow the page's width, font and colours.

Nothing depends on time or random numbers: equal records give equal charts.
"""

import math
from collections.abc import Sequence

from harness.report.markup import Markup, tag

Series = Sequence[tuple[float, float]]
TRACK_HEIGHT = 18
MIDDLE = TRACK_HEIGHT // 2


def score_track(value: float, *, fused: bool, label: str) -> Markup:
    """A lollipop on a scale of 0 to 100."""
    kind = "fused" if fused else "other"
    return _track(
        label,
        [_tick(x) for x in (0, 50, 100)],
        tag("line", class_=f"stem {kind}", x1="0%", x2=_pc(value), y1=MIDDLE, y2=MIDDLE),
        tag("circle", class_=f"dot {kind}", cx=_pc(value), cy=MIDDLE, r=5 if fused else 4),
    )


def difference_track(
    difference: float, low: float, high: float, reach: float, *, kind: str, label: str
) -> Markup:
    """A point with its interval on a scale of -reach to +reach; `kind` is gain, loss or open."""
    x, x1, x2 = (_pc(50 + 50 * v / reach) for v in (difference, max(low, -reach), min(high, reach)))
    return _track(
        label,
        _tick(50),
        tag("line", class_=f"whisker {kind}", x1=x1, x2=x2, y1=MIDDLE, y2=MIDDLE),
        tag("circle", class_=f"dot {kind}", cx=x, cy=MIDDLE, r=4),
    )


def change_track(
    gained: float, transferred: float, lost: float, interference: float, *, fused: bool, label: str
) -> Markup:
    """Lost items to the left of the middle, gained ones to the right, in percent of each half.

    The part that is known to a source is filled, the rest is an outline.
    """
    kind = "" if fused else " control"
    height = TRACK_HEIGHT - 6 if fused else TRACK_HEIGHT - 11
    bars = [
        _bar(50.0, gained / 2, height, f"bar-gain hollow{kind}"),
        _bar(50.0, transferred / 2, height, f"bar-gain{kind}"),
        _bar(50.0 - lost / 2, lost / 2, height, f"bar-loss hollow{kind}"),
        _bar(50.0 - interference / 2, interference / 2, height, f"bar-loss{kind}"),
    ]
    return _track(label, _tick(50), bars)


def curve_panel(title: str, curves: Sequence[tuple[str, str, Series]]) -> Markup:
    """One panel of training curves: (model, CSS class, points (step, value)) over common axes."""
    points = [p for _, _, series in curves for p in series]
    steps = max(step for step, _ in points)
    marks = ticks(min(v for _, v in points), max(v for _, v in points))
    low, high = marks[0], marks[-1]
    lines = [
        tag("polyline", class_=f"curve {kind}", points=_points(series, steps, low, high))
        for _, kind, series in curves
    ]
    plot = tag(
        "svg", *lines, viewBox="0 0 1000 1000", preserveAspectRatio="none", width="100%", height="100%"
    )
    return tag(
        "div",
        tag("div", tag("b", title), [_key(name, kind) for name, kind, _ in curves], class_="panel-title"),
        tag("div", [_rule(v, low, high) for v in marks], plot, class_="plot"),
        tag("div", tag("span", "0"), tag("span", f"step {steps:g}"), class_="steps"),
        class_="panel",
    )


def reach_of(values: Sequence[float]) -> float:
    """A round number, at least 1, that no absolute value exceeds."""
    largest = max((abs(v) for v in values), default=1.0)
    return max(1.0, ticks(0.0, largest)[-1])


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round numbers, evenly spaced, from at or below `low` to at or above `high`."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _track(label: str, *children: Markup | list[Markup]) -> Markup:
    return tag(
        "svg", *children, class_="track", width="100%", height=TRACK_HEIGHT, role="img", aria_label=label
    )


def _bar(x: float, width: float, height: int, kind: str) -> Markup:
    return tag(
        "rect",
        class_=kind,
        x=f"{x:.2f}%",
        width=f"{width:.2f}%",
        y=(TRACK_HEIGHT - height) // 2,
        height=height,
    )


def _tick(x: float) -> Markup:
    return tag("line", class_="tick", x1=_pc(x), x2=_pc(x), y1=0, y2=TRACK_HEIGHT)


def _pc(value: float) -> str:
    return f"{min(100.0, max(0.0, value)):.2f}%"


def _points(series: Series, steps: float, low: float, high: float) -> str:
    return " ".join(
        f"{1000 * step / max(steps, 1e-9):.1f},{1000 * (high - value) / (high - low):.1f}"
        for step, value in series
    )


def _rule(value: float, low: float, high: float) -> Markup:
    top = 100 * (high - value) / (high - low)
    return tag("div", tag("span", f"{value:g}"), class_="rule", style=f"top:{top:.2f}%")


def _key(name: str, kind: str) -> Markup:
    line = tag("line", class_=f"curve {kind}", x1=0, x2=22, y1=5, y2=5)
    return tag("span", tag("svg", line, width=22, height=10, aria_hidden="true"), name, class_="key")
