"""The results folder: runs by name, the stage store, baselines."""

from dataclasses import dataclass
from pathlib import Path

from harness.core.exceptions import InputError, nearest
from harness.core.run_files import RUN_FILE, read_run
from harness.pipeline.store import Store


@dataclass(frozen=True)
class Results:
    """The folder that holds runs, the stage store, baselines and MLflow's files."""

    root: Path

    @property
    def store(self) -> Store:
        return Store(self.root / "store")

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    def run_folder(self, run: str) -> Path:
        """The folder of a run, given by name, by path or by a path to its run.json.

        Raises IncompleteError for an unfinished run, InputError where there is none.
        """
        given = Path(run)
        for folder in (given, given.parent, self.runs / run):
            if (folder / RUN_FILE).is_file() and (folder != given.parent or given.name == RUN_FILE):
                return folder
        if unfinished := next((f for f in (given, self.runs / run) if f.is_dir()), None):
            read_run(unfinished)  # raises, and says what is missing
        known = sorted(p.parent.name for p in self.runs.glob(f"*/{RUN_FILE}"))
        raise InputError(
            f"no run {run!r} in {self.runs}{nearest(run, known)}",
            remedy=f"known runs: {', '.join(known)}"
            if known
            else "run a suite first: fusegauge run-suite micro",
        )
