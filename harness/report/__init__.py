"""The report of a run: one HTML file that needs no network, and the same in Markdown."""

from dataclasses import dataclass
from pathlib import Path

from harness.atomic import write_text_atomically
from harness.results import RunRecord


@dataclass(frozen=True)
class ReportPaths:
    html: Path
    markdown: Path


def write_report(record: RunRecord, run_dir: Path) -> ReportPaths:
    """Write report.html and report.md into `run_dir`, whose items are shown as examples where they are there.

    Equal records and items give equal bytes. Raises StoreError where the files cannot be written.
    """
    from harness.report.markdown import markdown
    from harness.report.page import page

    paths = ReportPaths(run_dir / "report.html", run_dir / "report.md")
    write_text_atomically(paths.html, page(record, run_dir))
    write_text_atomically(paths.markdown, markdown(record))
    return paths
