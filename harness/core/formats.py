"""Numbers as text for people: percent with one decimal, true minus signs, p-values, times, sizes."""

import math
from typing import Literal

MINUS = "−"
Unit = Literal["%", "bits/byte", "score"]
DECIMALS: dict[Unit, int] = {"%": 1, "bits/byte": 3, "score": 3}


def number(value: float, unit: Unit = "%") -> str:
    """52.3 for percent, 1.204 for bits per byte."""
    text = f"{value:.{DECIMALS[unit]}f}"
    if float(text) == 0:  # no "-0.0"
        return text.lstrip("-")
    return text.replace("-", MINUS)


def signed(value: float, unit: Unit = "%") -> str:
    """+12.3, −4.0; zero has no sign."""
    text = number(value, unit)
    return text if text.startswith(MINUS) or float(text) == 0 else f"+{text}"


def interval(low: float, high: float, unit: Unit = "%") -> str:
    """'+1.2 to +8.0'."""
    return f"{signed(low, unit)} to {signed(high, unit)}"


def p_value(p: float) -> str:
    """'p < 0.001', 'p = 0.042', 'p = 0.31'."""
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {min(p, 1.0):.2f}"


def duration(seconds: float) -> str:
    """'0.4 s', '12 s', '3 min 05 s', '2 h 14 min'."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(count: float) -> str:
    """Bytes in decimal units: '512 B', '3.4 MB'."""
    for prefix in ("", "k", "M", "G"):
        if abs(count) < 999.5:
            return f"{count:.0f} B" if not prefix else f"{count:.1f} {prefix}B"
        count /= 1000
    return f"{count:.1f} TB"


def quantity(count: float) -> str:
    """A count with about three digits: '950', '1.8M', '7.0B'."""
    for prefix in ("", "k", "M", "B"):
        if abs(count) < 999.5:
            return f"{count:.0f}" if not prefix or math.isclose(count, 0) else f"{count:.1f}{prefix}"
        count /= 1000
    return f"{count:.1f}T"


def listed(parts: list[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else "".join(parts)


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
