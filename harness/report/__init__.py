"""The report of a run: one self-contained HTML file, and the same in Markdown, JSON and the terminal.

Everything shown comes from `run.json` and the items stored with it.

Never here: computing a statistic (`comparison`), external scripts or fonts.
"""

from dataclasses import dataclass
from pathlib import Path

from harness.core.files import write_text_atomically
from harness.core.record import RunRecord


@dataclass(frozen=True)
class ReportPaths:
    html: Path
    markdown: Path
    json: Path


def write_report(record: RunRecord, run_dir: Path) -> ReportPaths:
    """Write report.html, .md and .json into `run_dir`; items found there are shown as examples.

    Equal records and items give equal bytes. Raises StoreError where the files cannot be written.
    """
    from harness.report.data import as_json
    from harness.report.markdown import markdown
    from harness.report.page import page

    paths = ReportPaths(run_dir / "report.html", run_dir / "report.md", run_dir / "report.json")
    write_text_atomically(paths.html, page(record, run_dir))
    write_text_atomically(paths.markdown, markdown(record))
    write_text_atomically(paths.json, as_json(record))
    return paths
