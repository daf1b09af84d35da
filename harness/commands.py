"""The commands of `fusegauge`: their options and help texts. A command parses, calls and prints.

Heavy libraries are imported inside the commands, so that `--help` needs none of them.
"""

import json
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.core.environment import go_offline, quiet_libraries, share_the_machine
from harness.core.exceptions import FuseGaugeError
from harness.data.mirror import LAYOUT

if TYPE_CHECKING:
    from harness.pipeline.results_folder import Results
    from harness.suite.run_options import RunOptions
    from harness.suite.spec import LoadedSuite

RESULTS = Path("results")


class ClearErrors(click.Group):
    """Commands whose errors are one message on stderr and the documented exit code; 1 is `check`'s alone."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FuseGaugeError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("\ninterrupted: finished stages are kept; run the same command to go on", err=True)
            sys.exit(130)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:
            sys.exit(_explain(error))


def _explain(error: Exception) -> int:
    """Say what no command expected; returns the exit code: 2 where `fusion` refuses an input, else 5."""
    from fusion.errors import FusionError
    from harness.core.redaction import redact

    if isinstance(error, FusionError):
        click.echo(f"error: {redact(str(error))}", err=True)
        return 2
    reason = next(iter(str(error).splitlines()), "")
    click.echo(f"error: unexpected {type(error).__name__}: {redact(reason)}", err=True)
    details = redact("".join(traceback.format_exception(error)))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="fusegauge-", suffix=".log", delete=False, encoding="utf-8"
        ) as file:
            file.write(details)
    except OSError:
        click.echo(details, err=True)
    else:
        click.echo(f"  -> this should not happen: please report it with {file.name}", err=True)
    return 5


_results = click.option(
    "--results",
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
    default=RESULTS,
    envvar="FUSEGAUGE_RESULTS",
    show_default=True,
    help="Folder for runs, the stage store and MLflow's files [FUSEGAUGE_RESULTS].",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
_mirror = click.option(
    "--mirror",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="FUSEGAUGE_MIRROR",
    help=f"Folder shaped like the hub ({LAYOUT}) to read datasets from.",
)
_mirror_to_fill = click.option(
    "--mirror",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="FUSEGAUGE_MIRROR",
    help="Folder to write the data into that it does not hold yet [default: the hub's own cache].",
)
_offline = click.option(
    "--offline", is_flag=True, envvar="HF_HUB_OFFLINE", help="Touch no network; use what `prepare` fetched."
)
_unsafe = click.option(
    "--unsafe-no-sandbox",
    is_flag=True,
    help="Where no sandbox works, run model-written code in a subprocess that is limited but NOT isolated.",
)
_limit = click.option("--limit", type=click.IntRange(min=1), help="At most N items per task.")
_set = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override one value of the suite, e.g. fusion.lm_loss_weight=0.5 (repeatable).",
)
_only = click.option(
    "--only", multiple=True, metavar="STAGE", help="Only this stage or family, and what it needs."
)
_discordant = click.option(
    "--discordant",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.2,
    show_default=True,
    help="Share of the items on which two models are taken to differ.",
)
_run = click.argument("run")


@dataclass(frozen=True)
class SuiteRequest:
    """How a suite is asked for; what a command has no option for keeps its default."""

    suite: str
    overrides: Sequence[str]
    limit: int | None = None
    mirror: Path | None = None
    offline: bool = False
    unsafe_no_sandbox: bool = False
    results: Path = RESULTS

    def load(self) -> "LoadedSuite":
        """The suite with its overrides and limit; raises SuiteError with every mistake in it."""
        from harness.suite.load import limit_items, load_suite

        loaded = load_suite(self.suite, self.overrides)
        if self.limit is None:
            return loaded
        return loaded.model_copy(update={"suite": limit_items(loaded.suite, self.limit)})

    @property
    def options(self) -> "RunOptions":
        from harness.suite.run_options import RunOptions

        return RunOptions(
            self.mirror.resolve() if self.mirror else None, self.offline, self.unsafe_no_sandbox
        )


def _suite_options(*options: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add SUITE and these options. Those that SuiteRequest has a field for reach the command as one."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def gathered(**given: Any) -> Any:
            request = SuiteRequest(
                **{f.name: given.pop(f.name) for f in fields(SuiteRequest) if f.name in given}
            )
            if request.offline:
                go_offline()
            return command(request, **given)

        for option in reversed((click.argument("suite"), *options)):
            gathered = option(gathered)
        return gathered

    return decorate


def _results_at(folder: Path) -> "Results":
    from harness.pipeline.results_folder import Results

    return Results(folder)


@click.group(cls=ClearErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fusegauge", prog_name="fusegauge")
def main() -> None:
    """Fuse several language models into one target and measure, item by item, what that gained and lost.

    \b
    Start here:   fusegauge run-suite micro      the embedded experiment, a few minutes, no network
                  fusegauge suites               what else there is
                  fusegauge doctor               what this machine has and lacks

    SUITE is a YAML file or the name of a bundled suite; RUN a run's name or folder.
    """
    quiet_libraries()
    share_the_machine()


@main.command("run-suite")
@_suite_options(_mirror, _limit, _set, _only, _offline, _unsafe, _results, _json)
def run_suite_command(request: SuiteRequest, only: Sequence[str], as_json: bool) -> None:
    """Run every stage of SUITE, compare the models and write the report.

    Finished stages are reused; a run that was stopped goes on where it was.
    """
    from harness.console import ConsoleObserver, show_finished, show_links
    from harness.experiment import run_suite, sync_folder

    loaded, place = request.load(), _results_at(request.results)
    with ConsoleObserver(quiet=as_json) as observer:
        finished = run_suite(loaded, request.options, place, observer, only)
    if finished is None:
        return
    if as_json:
        click.echo(finished.record.model_dump_json(indent=1))
    else:
        show_finished(finished)
    if loaded.suite.tracking.enabled:
        show_links(sync_folder(finished.folder, place, loaded.suite.tracking), err=as_json)


@main.command()
@_suite_options(_mirror, _limit, _set, _offline, _unsafe, _results, _json)
def plan(request: SuiteRequest, as_json: bool) -> None:
    """Show the stages of SUITE, which are already there, and what the rest will cost."""
    from harness.console import show_plan
    from harness.pipeline.plan import make_plan

    made = make_plan(request.load(), request.options, _results_at(request.results))
    click.echo(made.as_json()) if as_json else show_plan(made)


@main.command()
@_suite_options(_mirror, _limit, _set, _offline, _discordant, _json)
def tasks(request: SuiteRequest, discordant: float, as_json: bool) -> None:
    """Show what the benchmarks of SUITE measure, and how small a difference their items can show.

    Exits with 2 where a benchmark cannot be scored as things are: its data are missing, for example.
    """
    from harness.console import show_tasks
    from harness.scoring.task_table import task_table

    table = task_table(request.load(), request.options, discordant)
    click.echo(table.as_json()) if as_json else show_tasks(table)
    if table.problems:
        sys.exit(2)


@main.command()
@_suite_options(_mirror_to_fill, _set, _results)
def prepare(request: SuiteRequest) -> None:
    """Fetch all that SUITE needs, so that `run-suite --offline` works without a network.

    Data of benchmarks and corpus go into the mirror if one is named, else into the hub's cache.
    """
    from harness.console import ConsoleObserver
    from harness.experiment import prepare_suite

    loaded = request.load()
    with ConsoleObserver(quiet=False) as observer:
        for line in prepare_suite(loaded, request.options, _results_at(request.results), observer):
            click.echo(line)


@main.command()
@_run
@_results
def report(run: str, results: Path) -> None:
    """Write the report of RUN again and show its table."""
    from harness.console import show_record
    from harness.core.run_files import read_run
    from harness.report import write_report

    folder = _results_at(results).run_folder(run)
    record = read_run(folder)
    paths = write_report(record, folder)
    show_record(record)
    click.echo(f"report: {paths.html}")


@main.command()
@_run
@_results
def sync(run: str, results: Path) -> None:
    """Send RUN to MLflow (again); what is already there is left alone."""
    from harness.console import show_links
    from harness.experiment import sync_folder

    place = _results_at(results)
    show_links(sync_folder(place.run_folder(run), place))


@main.command()
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port [5000 or, where that is taken, a free one]."
)
@_results
def ui(port: int | None, results: Path) -> None:
    """Serve MLflow's page for the results folder, until Ctrl-C; opens no browser."""
    from harness.console import show_page
    from harness.tracking.ui import serve

    try:
        with serve(results, port) as page:
            show_page(page)
            page.wait()
    except KeyboardInterrupt:
        click.echo("\nMLflow has ended", err=True)


@main.command()
@_run
@click.option(
    "--baseline",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file written by `baseline save`.",
)
@click.option(
    "--tolerance",
    "tolerances",
    multiple=True,
    metavar="[NAME=]POINTS",
    help="Percentage points that all, or one benchmark or capability, may fall [the suite's; repeatable].",
)
@click.option(
    "--vary",
    multiple=True,
    metavar="KEY",
    help="A setting that is what you test, so that it may differ, e.g. fusion.lm_loss_weight (repeatable).",
)
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write JUnit XML here.")
@click.option(
    "--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write a Markdown summary here."
)
@click.option("--github", is_flag=True, help="Print GitHub annotations and add to the step's summary.")
@_results
@_json
def check(
    run: str,
    baseline: Path,
    tolerances: Sequence[str],
    vary: Sequence[str],
    junit: Path | None,
    markdown: Path | None,
    github: bool,
    results: Path,
    as_json: bool,
) -> None:
    """Compare RUN with a saved baseline.

    Exits with 0 if it held, 1 if it regressed, 3 if the two are not comparable, 4 if the run is incomplete.
    """
    from harness.experiment import check_run
    from harness.regression.ci import Places

    folder, places = _results_at(results).run_folder(run), Places(junit, markdown, github)
    say = partial(click.echo, err=as_json)
    verdict = check_run(folder, baseline, tolerances, vary, places=places, say=say)
    click.echo(verdict.model_dump_json(indent=1) if as_json else verdict.text())
    sys.exit(verdict.exit_code)


@main.group()
def baseline() -> None:
    """Baselines that `check` compares with."""


@baseline.command("save")
@_run
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@_results
def baseline_save(run: str, to: Path | None, results: Path) -> None:
    """Keep RUN's outcomes as the baseline of its suite."""
    from harness.experiment import save_run_as_baseline

    place = _results_at(results)
    click.echo(f"baseline: {save_run_as_baseline(place.run_folder(run), to, place)}")


@main.command()
@_json
def suites(as_json: bool) -> None:
    """List the bundled suites."""
    from harness.suite.load import bundled_suites, description

    rows = [
        {"name": name, "path": str(path), "description": description(path)}
        for name, path in bundled_suites().items()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        click.echo(f"{row['name']:<12} {' '.join(row['description'].split())}")


@main.command()
@_mirror
@click.option(
    "--prove", is_flag=True, help="Run a right and a wrong program of every language in the sandbox."
)
@_results
@_json
def doctor(mirror: Path | None, prove: bool, results: Path, as_json: bool) -> None:
    """Show what this machine has and lacks, with the remedy."""
    from harness.console import show_findings
    from harness.doctor import examine, examine_languages

    findings = examine(results, mirror) + examine_languages(prove)
    if as_json:
        click.echo(json.dumps([vars(f) for f in findings], indent=1))
    else:
        show_findings(findings)
