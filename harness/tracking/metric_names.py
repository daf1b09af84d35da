"""Metric names that MLflow accepts: one invalid name would make it refuse the whole batch."""

import re
from hashlib import sha256

LONGEST = 120  # characters of one part; MLflow allows 250 for a key
_SPOKEN = {"@": "_at_", "%": "_percent", "+": "_plus", "=": "_eq_"}
_REFUSED = re.compile(r"[^A-Za-z0-9_.-]+")


def clean(part: str) -> str:
    """One part of a metric key: ASCII letters, digits, `_`, `-`, `.`; "pass@1" becomes "pass_at_1".

    Slashes are replaced too, because MLflow makes a chart section of everything before the last slash.
    """
    spoken = "".join(_SPOKEN.get(c, c) for c in part)
    safe = re.sub(r"\.{2,}|_{2,}", lambda m: m[0][0], _REFUSED.sub("_", spoken)).strip("._")
    if len(safe) > LONGEST:
        safe = f"{safe[: LONGEST - 9]}-{sha256(part.encode()).hexdigest()[:8]}"
    return safe or "unnamed"


def metric_key(section: str, *parts: str) -> str:
    """`section/part.part`: a single slash, so that each capability is one chart section."""
    return f"{clean(section)}/{'.'.join(clean(p) for p in parts)}"


def distinct(keys: list[str]) -> list[str]:
    """The same keys, with repeated ones numbered: two metrics must not share a chart."""
    seen: set[str] = set()
    names = []
    for key in keys:
        name, number = key, 2
        while name in seen:
            name, number = f"{key}-{number}", number + 1
        seen.add(name)
        names.append(name)
    return names
