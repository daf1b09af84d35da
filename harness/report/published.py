"""Published numbers beside a run's own: not paired, so without differences."""

from harness.report.markup import Markup
from harness.results import RunRecord


def published_section(record: RunRecord) -> Markup | None:
    """The table the suite names under comparison.published; None where there is none."""
    return None
