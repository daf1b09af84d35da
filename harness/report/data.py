"""The report as JSON: the keys of `run.json` that the page shows, without suite, curves and stages."""

from harness.core.record import RunRecord

SHOWN = {"schema_version", "run", "created", "seed", "seeds", "models", "repeats", "benchmarks", "comparison"}
ALSO = {"coverage", "attribution", "attribution_by_part", "gains", "notes"}


def as_json(record: RunRecord) -> str:
    """A subset of `run.json`, with the same keys (docs/results.md)."""
    return record.model_dump_json(include=SHOWN | ALSO, indent=1) + "\n"
