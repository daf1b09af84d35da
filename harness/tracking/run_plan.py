"""Contents of one MLflow run as plain data, with digests to detect whether it is already logged."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from harness.core.files import sha256_file

PREFIX = "fusegauge."
KEY, COMPARISON, ROLE = PREFIX + "key", PREFIX + "run", PREFIX + "role"
NUMBERS, CONTENT = PREFIX + "numbers", PREFIX + "digest"

Point = tuple[int, float]


@dataclass(frozen=True)
class DatasetPlan:
    """A benchmark as a dataset input; its fingerprint shows whether two runs used the same items."""

    name: str
    digest: str
    source: str  # JSON
    profile: str  # JSON


@dataclass(frozen=True)
class RunPlan:
    """One MLflow run. `started` and `duration` are milliseconds; every metric is logged at `started`.

    The start is not part of a digest: repeating a suite finds its run unchanged.
    """

    key: str
    name: str
    started: int
    duration: int
    tags: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    series: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)
    datasets: tuple[DatasetPlan, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    def numbers(self) -> str:
        """Digest of what cannot be changed in an MLflow run: a change here needs a new run."""
        datasets = [(d.name, d.digest, d.source, d.profile) for d in self.datasets]
        return digest([self.params, list(self.metrics.items()), self.series, datasets])

    def content(self) -> str:
        """Digest of everything, so that an unchanged run needs only one query."""
        texts = {path: sha256(text.encode()).hexdigest() for path, text in self.texts.items()}
        files = {path.name: sha256_file(path) for path in self.files}
        return digest([self.numbers(), self.name, self.duration, self.tags, texts, files])


def digest(value: Any) -> str:
    """Digest of a JSON value, independent of the order of its keys."""
    return sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:20]


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), default=str)


def flat(prefix: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Parameters under a prefix; nested values as JSON."""
    return {
        f"{prefix}.{key}": value if isinstance(value, str) else compact(value)
        for key, value in values.items()
    }
