"""Options of a run that are given on the command line, not in the suite."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunOptions:
    """Where data comes from, whether the network may be used, whether programs may run without a sandbox."""

    mirror: Path | None = None
    offline: bool = False
    unsafe_no_sandbox: bool = False
