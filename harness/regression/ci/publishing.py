"""Writes a check's findings to files and to GitHub's log and step summary."""

import os
from dataclasses import dataclass
from pathlib import Path

from harness.core.files import write_text_atomically
from harness.regression.ci.annotations import annotations
from harness.regression.ci.findings import Findings
from harness.regression.ci.junit import junit_xml
from harness.regression.ci.summary import markdown

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"  # a file that GitHub shows on the run's page


@dataclass(frozen=True)
class Places:
    """The outputs that were asked for; None and False: not wanted."""

    junit: Path | None = None
    markdown: Path | None = None
    github: bool = False


def publish(findings: Findings, places: Places) -> list[str]:
    """Write the files and return the lines for GitHub's log."""
    if places.junit:
        write_text_atomically(places.junit, junit_xml(findings))
    if places.markdown:
        write_text_atomically(places.markdown, markdown(findings))
    if not places.github:
        return []
    if summary := os.environ.get(STEP_SUMMARY):
        with Path(summary).open("a", encoding="utf-8") as file:  # other steps write there too
            file.write(markdown(findings))
    return annotations(findings)
