"""What the commands do: run a suite from corpus to verdict, prepare it, check, sync and keep its runs."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.exceptions import IncompleteError, NotComparableError, SuiteError, nearest
from harness.core.files import write_text_atomically
from harness.core.record import RunRecord
from harness.core.run_files import RUN_FILE, read_run
from harness.pipeline.graph import Pipeline, checked_pipeline
from harness.pipeline.results_folder import Results
from harness.pipeline.run_record import build_record, collect_items, copy_attribution, copy_items
from harness.pipeline.runner import Observer, StageResult, run_stages
from harness.pipeline.stage import Stage
from harness.scoring.options import scoring_options
from harness.suite.run_options import RunOptions
from harness.suite.spec import LoadedSuite, TrackingSpec, resolved

if TYPE_CHECKING:
    from harness.regression.check import RegressionVerdict
    from harness.regression.ci import Places
    from harness.tracking import TrackingLinks


@dataclass(frozen=True)
class Finished:
    """A finished run on disk."""

    record: RunRecord
    folder: Path
    outcomes: dict[str, StageResult]


def run_name(loaded: LoadedSuite, options: RunOptions) -> str:
    """The suite's name with a hash of its values and of how programs run: equal suites are the same run."""
    content = json.dumps([resolved(loaded.suite), options.unsafe_no_sandbox], sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()
    return f"{loaded.suite.name}-{digest[:8]}"


def run_suite(
    loaded: LoadedSuite, options: RunOptions, results: Results, observer: Observer, only: Sequence[str] = ()
) -> Finished | None:
    """Run every stage, then compare and report. With `only`, run just those stages and return None."""
    pipeline = checked_pipeline(loaded, options)
    if only:
        run_stages(_only(pipeline, only), results.store, observer)
        return None
    outcomes = run_stages(pipeline.stages, results.store, observer)
    return finish(run_name(loaded, options), loaded, pipeline, results, outcomes)


def _only(pipeline: Pipeline, only: Sequence[str]) -> tuple[Stage, ...]:
    names = {family for stage in pipeline.stages for family in _families(stage.name)}
    unknown = [f"--only {n}: no such stage{nearest(n, names)}" for n in only if n not in names]
    if unknown:
        raise SuiteError("options", unknown)
    return pipeline.only(only)


def _families(name: str) -> list[str]:
    """The names that select a stage: for `scoring:fused:bbh` also `scoring` and `scoring:fused`."""
    parts = name.split(":")
    return [":".join(parts[: n + 1]) for n in range(len(parts))]


def finish(
    run: str, loaded: LoadedSuite, pipeline: Pipeline, results: Results, outcomes: dict[str, StageResult]
) -> Finished:
    """Write items, attribution, run.json and the report of a run whose stages are all finished."""
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
    """Send a run to MLflow and return its links. Raises TrackingError if the server cannot be reached."""
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
    """Check a run against a saved baseline; publish the verdict, or why there is none, to `places`.

    `say` is called with the lines for GitHub's log. Raises what harness.regression.check.check raises.
    """
    from harness.regression.check import check
    from harness.regression.ci import Places, findings_of, findings_of_error, publish

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
    """Save a run as a baseline, by default in `baselines/<suite>.json` in the results folder."""
    from harness.regression.baseline import save_baseline

    record = read_run(folder)
    path = to or results.root / "baselines" / f"{record.suite['name']}.json"
    save_baseline(record, folder, path)
    return path


def prepare_suite(
    loaded: LoadedSuite, options: RunOptions, results: Results, observer: Observer
) -> Iterator[str]:
    """Fetch models and corpus into the store, benchmark data into the mirror or the hub's cache.

    Yields a line about each part.
    """
    from harness.scoring.benchmark_data import prepare_datasets

    yield from prepare_datasets(loaded.suite, scoring_options(loaded, options))
    yield "benchmark data: complete"
    pipeline = checked_pipeline(loaded, options)
    names = [s.name for s in pipeline.stages if s.name.startswith("model:") or s.name == "corpus"]
    outcomes = run_stages(pipeline.only(names), results.store, observer)
    size = sum(o.entry.bytes for o in outcomes.values()) / 1e6
    yield f"models and corpus: {size:,.0f} MB in {results.store.root}"
    yield "now `fusegauge run-suite` works with --offline (and the same --mirror, --set and --results)"
