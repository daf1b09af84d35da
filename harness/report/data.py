"""The report as JSON: what the page shows, without the suite, the curves and the stages of `run.json`."""

from harness.core.record import RunRecord

SHOWN = {"schema_version", "run", "created", "seed", "seeds", "models", "repeats", "benchmarks", "comparison"}
ALSO = {"coverage", "attribution", "attribution_by_part", "gains", "notes"}


def as_json(record: RunRecord) -> str:
    """Keys as in `run.json` (docs/results.md), of which it is a part."""
    return record.model_dump_json(include=SHOWN | ALSO, indent=1) + "\n"
