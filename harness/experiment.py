"""What the commands do: run a suite from corpus to verdict, plan it, and reach runs again by name."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.atomic import write_text_atomically
from harness.errors import IncompleteError, InputError, NotComparableError, SuiteError, nearest
from harness.pipeline import Pipeline, build_pipeline
from harness.record import build_record, collect_items, copy_attribution, copy_items
from harness.results import RunRecord
from harness.run_folder import RUN_FILE, read_run
from harness.runner import Observer, Outcome, run_stages
from harness.settings import Settings
from harness.stages import Stage
from harness.store import Store
from harness.suite import LoadedSuite, TrackingSpec, resolved

if TYPE_CHECKING:
    from harness.ci import Places
    from harness.regression import RegressionVerdict
    from harness.tracking import TrackingLinks


@dataclass(frozen=True)
class Results:
    """The folder that runs, the stage store and MLflow's files live in."""

    root: Path

    @property
    def store(self) -> Store:
        return Store(self.root / "store")

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    def run_folder(self, run: str) -> Path:
        """The folder of a run, by name, by path, or by a path to its run.json."""
        given = Path(run)
        for folder in (given, given.parent, self.runs / run):
            if (folder / RUN_FILE).is_file() and (folder != given.parent or given.name == RUN_FILE):
                return folder
        if unfinished := next((f for f in (given, self.runs / run) if f.is_dir()), None):
            read_run(unfinished)  # says what it lacks
        known = sorted(p.parent.name for p in self.runs.glob(f"*/{RUN_FILE}"))
        raise InputError(
            f"no run {run!r} in {self.runs}{nearest(run, known)}",
            remedy=f"known runs: {', '.join(known)}"
            if known
            else "run a suite first: fusegauge run-suite micro",
        )


@dataclass(frozen=True)
class Finished:
    """A run on disk."""

    record: RunRecord
    folder: Path
    outcomes: dict[str, Outcome]


def run_name(loaded: LoadedSuite, settings: Settings) -> str:
    """Suite name and a hash over all that it says and how programs ran: the same suite is the same run."""
    content = json.dumps([resolved(loaded.suite), settings.unsafe_no_sandbox], sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()
    return f"{loaded.suite.name}-{digest[:8]}"


def checked_pipeline(loaded: LoadedSuite, settings: Settings) -> Pipeline:
    """The stages of a suite whose benchmarks exist. Raises SuiteError with every mistake at once."""
    from harness.evaluating import scoring_options
    from harness.scoring import validate_benchmarks

    benchmarks = [b for group in loaded.suite.benchmarks.values() for b in group]
    mistakes = validate_benchmarks(benchmarks, scoring_options(loaded, settings))
    if mistakes:
        raise SuiteError(f"suite {loaded.suite.name}", mistakes)
    return build_pipeline(loaded, settings)


def run_suite(
    loaded: LoadedSuite, settings: Settings, results: Results, observer: Observer, only: Sequence[str] = ()
) -> Finished | None:
    """Every stage, then the comparison and the report. With `only`, just those stages: then None."""
    pipeline = checked_pipeline(loaded, settings)
    if only:
        run_stages(_only(pipeline, only), results.store, observer)
        return None
    outcomes = run_stages(pipeline.stages, results.store, observer)
    return finish(run_name(loaded, settings), loaded, pipeline, results, outcomes)


def _only(pipeline: Pipeline, only: Sequence[str]) -> tuple[Stage, ...]:
    names = {family for stage in pipeline.stages for family in _families(stage.name)}
    unknown = [f"--only {n}: no such stage{nearest(n, names)}" for n in only if n not in names]
    if unknown:
        raise SuiteError("options", unknown)
    return pipeline.only(only)


def _families(name: str) -> list[str]:
    """`scoring:fused:bbh` belongs to scoring and to scoring:fused, and is a family of its own."""
    parts = name.split(":")
    return [":".join(parts[: n + 1]) for n in range(len(parts))]


def finish(
    run: str, loaded: LoadedSuite, pipeline: Pipeline, results: Results, outcomes: dict[str, Outcome]
) -> Finished:
    """Write items, attribution, run.json and the report of a run whose stages are all there."""
    from harness.report import write_report

    items = collect_items(loaded, pipeline, outcomes)
    record = build_record(run, loaded, pipeline, outcomes, items)
    folder = results.runs / run
    copy_items(folder, pipeline, outcomes)
    copy_attribution(folder, outcomes)
    write_text_atomically(folder / RUN_FILE, record.model_dump_json(indent=1))
    write_report(record, folder)
    return Finished(record, folder, outcomes)


def sync_folder(folder: Path, results: Results, tracking: TrackingSpec | None = None) -> "TrackingLinks":
    """Send a run to MLflow; where to see it. Raises TrackingError when the server cannot be reached."""
    from harness.tracking import sync_run

    if tracking is None:
        tracking = TrackingSpec.model_validate(read_run(folder).suite["tracking"])
    return sync_run(folder, tracking, results=results.root)


def check_run(
    folder: Path,
    baseline: Path,
    tolerances: Sequence[str] = (),
    vary: Sequence[str] = (),
    *,
    places: "Places | None" = None,
    say: Callable[[str], None] = print,
) -> "RegressionVerdict":
    """A run against a saved baseline, published to `places` whether it was judged or could not be.

    `say` takes the lines for GitHub's log. Errors as harness.regression.check.
    """
    from harness.ci import Places, findings_of, findings_of_error, publish
    from harness.regression import check

    places = places or Places()
    try:
        verdict = check(read_run(folder), folder, baseline, tolerances, vary)
    except (IncompleteError, NotComparableError) as error:
        for line in publish(findings_of_error(folder.name, error), places):
            say(line)
        raise
    for line in publish(findings_of(folder.name, verdict), places):
        say(line)
    return verdict


def save_run_as_baseline(folder: Path, to: Path | None, results: Results) -> Path:
    """`baselines/<suite>.json` beside the runs, unless another file is named."""
    from harness.baseline import save_baseline

    record = read_run(folder)
    path = to or results.root / "baselines" / f"{record.suite['name']}.json"
    save_baseline(record, folder, path)
    return path
