"""Tolerances of `check`, how far a score may fall: one number, or numbers by benchmark and capability.

    comparison: {tolerance: 1.0}                                           # every benchmark and capability
    comparison: {tolerance: {default: 0, commonsense: 1, arc_easy: 2}}

In percentage points, or in the metric's own unit where it is not a percentage. A benchmark uses its own
tolerance, else its capability's, else the default; a capability's average uses its own, else the default. The
default is 0.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.core.exceptions import InputError, nearest

DEFAULT = "default"
Tolerances = Mapping[str, float]


def spelled_out(value: Any) -> Any:
    """A single number as {"default": number}; anything else unchanged, to be checked elsewhere."""
    return {DEFAULT: value} if isinstance(value, int | float) and not isinstance(value, bool) else value


def of_benchmark(tolerances: Tolerances, benchmark: str, capability: str) -> float:
    """The tolerance of a benchmark."""
    return tolerances.get(benchmark, of_capability(tolerances, capability))


def of_capability(tolerances: Tolerances, capability: str) -> float:
    """The tolerance of a capability's average."""
    return tolerances.get(capability, tolerances.get(DEFAULT, 0.0))


def overridden(tolerances: Tolerances, overrides: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """The tolerances after the overrides: `POINTS` replaces all of them, then `NAME=POINTS` one each.

    Raises InputError for points that are not a number >= 0 and for unknown benchmarks or capabilities.
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
    """A sentence for each key that names no benchmark or capability, with the nearest valid name."""
    for name in tolerances:
        if name not in (DEFAULT, *names):
            yield f"{name!r} is neither a benchmark nor a capability{nearest(name, names)}"


def _known(name: str, names: Sequence[str], text: str) -> str:
    for mistake in unknown_names({name: 0}, names):
        raise InputError(f"--tolerance {text}: {mistake}", remedy=f"valid names: {', '.join(names)}")
    return name


def _points(points: str, text: str) -> float:
    try:
        value = float(points)
    except ValueError:
        value = -1.0
    if not (math.isfinite(value) and value >= 0):
        raise InputError(
            f"--tolerance {text}: {points!r} is not a number of points, 0 or above",
            remedy="write --tolerance 1.5 for all, or --tolerance arc_easy=1.5 for one",
        )
    return value
