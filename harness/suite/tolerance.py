"""How far a check lets a score fall: one number, or numbers by benchmark and capability.

    comparison: {tolerance: 1.0}                                           # every benchmark and capability
    comparison: {tolerance: {default: 0, commonsense: 1, arc_easy: 2}}

Percentage points, or the metric's own unit where it is no share. A benchmark has its own, else its
capability's, else the default; a capability's average its own, else the default; the default is 0.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.core.exceptions import InputError, nearest

DEFAULT = "default"
Tolerances = Mapping[str, float]


def spelled_out(value: Any) -> Any:
    """One number as the default of all; anything else as it is, for whoever checks it."""
    return {DEFAULT: value} if isinstance(value, int | float) and not isinstance(value, bool) else value


def of_benchmark(tolerances: Tolerances, benchmark: str, capability: str) -> float:
    """What this benchmark may lose."""
    return tolerances.get(benchmark, of_capability(tolerances, capability))


def of_capability(tolerances: Tolerances, capability: str) -> float:
    """What this capability's average may lose."""
    return tolerances.get(capability, tolerances.get(DEFAULT, 0.0))


def overridden(tolerances: Tolerances, overrides: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """The tolerances with `NAME=POINTS` replaced; a bare `POINTS` replaces them all, so it comes first.

    Raises InputError for what is no number of at least 0, and for names that are no benchmark or capability.
    """
    bare = [text for text in overrides if "=" not in text]
    chosen = dict(tolerances)
    for text in bare:
        chosen = {DEFAULT: _points(text, text)}
    for text in overrides:
        name, separator, points = text.partition("=")
        if separator:
            chosen[_known(name, names, text)] = _points(points, text)
    return chosen


def unknown_names(tolerances: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    """Keys that name neither a benchmark nor a capability, each with the nearest that does."""
    for name in tolerances:
        if name not in (DEFAULT, *names):
            yield f"{name!r} is no benchmark and no capability{nearest(name, names)}"


def _known(name: str, names: Sequence[str], text: str) -> str:
    for mistake in unknown_names({name: 0}, names):
        raise InputError(f"--tolerance {text}: {mistake}", remedy=f"there are {', '.join(names)}")
    return name


def _points(points: str, text: str) -> float:
    try:
        value = float(points)
    except ValueError:
        value = -1.0
    if not (math.isfinite(value) and value >= 0):
        raise InputError(
            f"--tolerance {text}: {points!r} is no number of points, 0 or above",
            remedy="write --tolerance 1.5 for all, or --tolerance arc_easy=1.5 for one",
        )
    return value
