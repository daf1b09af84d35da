"""Published results, shown beside a run's own scores (suites/published/<name>.json)."""

from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from harness.core.exceptions import InputError, nearest
from harness.core.record import Record, Role

FOLDER = Path(str(files("suites"))) / "published"


class PublishedBenchmark(Record):
    """One benchmark: a score in percent for each model of the publication."""

    capability: str
    metric: str
    setting: str = ""
    scores: dict[str, float]


class Published(Record):
    """A publication's results, keyed by the benchmark names that suites use."""

    schema_version: Literal[1]
    source: str
    note: str = ""
    unit: Literal["%"]
    models: dict[str, Role]  # the publication's own model names
    benchmarks: dict[str, PublishedBenchmark]
    averages: dict[str, dict[str, float]] = {}  # capability -> model -> the publication's own average

    def model_in_role(self, role: Role) -> list[str]:
        return [name for name, has in self.models.items() if has == role]


def published_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def read_published(name: str) -> Published:
    """The published results of that name. Raises InputError if there are none or they cannot be read."""
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        there = published_names()
        raise InputError(
            f"comparison.published: no published results named {name!r}{nearest(name, there)}",
            remedy=f"available: {', '.join(there) or 'none'} (in {FOLDER})",
        )
    try:
        return Published.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise InputError(f"{path}: {where}: {problem['msg']}", remedy="correct the file") from error
