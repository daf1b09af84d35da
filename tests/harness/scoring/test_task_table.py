"""`tasks`: the rows say what is measured, on how many items, what these show, and what is missing."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from harness import commands
from harness.comparison.power import DISCORDANT, smallest_difference
from harness.scoring.task_table import BenchmarkRow, TaskTable, task_table
from harness.suite.load import load_suite
from harness.suite.run_options import RunOptions
from tests.harness.scoring.scoring_world import write_mirror

SUITE = {
    "version": 1,
    "name": "world",
    "target": {"name": "a", "model": "owner/a"},
    "sources": [{"name": "b", "model": "owner/b"}],
    "corpus": {"kind": "python"},
    "benchmarks": {
        "reasoning": [
            {
                "name": "gsm8k",
                "tasks": "gsm8k",
                "num_fewshot": 2,
                "metrics": "exact_match",
                "limit": 6,
                "filter": "flexible-extract",
            },
            {"name": "arc", "tasks": "arc_easy", "metrics": ["acc_norm", "acc"]},
        ],
        "code": [{"name": "humaneval", "tasks": "humaneval", "metrics": "pass@1", "executes_code": True}],
        "rest": [{"name": "openbookqa", "tasks": "openbookqa", "metrics": "acc"}],
    },
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite") / "world.yaml"
    path.write_text(yaml.safe_dump(SUITE, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ARC-Easy with 10 test rows, GSM8K with 8, HumanEval with 5; no OpenBookQA."""
    return write_mirror(tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def table(suite: Path, mirror: Path) -> TaskTable:
    return task_table(load_suite(suite), RunOptions(mirror=mirror, offline=True))


@pytest.fixture(scope="module")
def rows(table: TaskTable) -> dict[str, BenchmarkRow]:
    return {row.benchmark: row for row in table.benchmarks}


def test_a_row_says_what_is_measured(rows: dict[str, BenchmarkRow]) -> None:
    assert rows["gsm8k"].measures == "generated and matched, exact_match, 2-shot"
    assert rows["arc"].measures == "choice by log-likelihood, acc_norm, 0-shot"
    assert rows["humaneval"].measures == "program written and executed, pass@1, 0-shot"
    [task] = rows["gsm8k"].tasks
    assert (task.name, task.filter) == ("gsm8k", "flexible-extract")


def test_of_several_samples_a_share_is_right(suite: Path, mirror: Path) -> None:
    """No exact McNemar test then, so no minimum detectable effect."""
    sampled = [
        "benchmarks.code.0.samples=20",
        "benchmarks.code.0.gen_kwargs={temperature: 0.2, do_sample: true}",
    ]
    table = task_table(load_suite(suite, sampled), RunOptions(mirror=mirror, offline=True))
    [row] = [row for row in table.benchmarks if row.benchmark == "humaneval"]
    assert row.measures == "program written and executed, pass@1 of 20 samples, 0-shot"
    assert not row.right_or_wrong


def test_a_language_that_is_not_here_is_told(
    suite: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import harness.scoring

    monkeypatch.setattr(harness.scoring, "how_executed", lambda benchmark, options: "no toolchain: R")
    table = task_table(load_suite(suite), RunOptions(mirror=mirror, offline=True))
    [row] = [row for row in table.benchmarks if row.benchmark == "humaneval"]
    assert row.measures.endswith("0-shot; left out here, no toolchain: R")
    assert row.problems == ()


def test_a_row_counts_items_after_the_limit_and_before(rows: dict[str, BenchmarkRow]) -> None:
    assert (rows["gsm8k"].items, rows["gsm8k"].documents) == (6, 8)
    assert (rows["arc"].items, rows["arc"].documents) == (10, 10)


def test_a_row_says_what_its_items_show(rows: dict[str, BenchmarkRow]) -> None:
    """Six items: 0.8^(1/6) = 96.35 %; five show nothing."""
    assert rows["gsm8k"].smallest_points == pytest.approx(96.35, abs=0.01)
    assert rows["humaneval"].smallest_points is None


def test_an_average_counts_its_benchmarks_the_same(table: TaskTable) -> None:
    """6 and 10 items: 4 / (1/6 + 1/10) = 15."""
    [average] = table.capabilities
    assert (average.capability, average.items, average.equivalent_items) == ("reasoning", 16, 15)
    assert average.smallest_points == pytest.approx(100 * (smallest_difference(15) or 0))


def test_a_wider_confidence_shows_less(suite: Path, mirror: Path, rows: dict[str, BenchmarkRow]) -> None:
    strict = load_suite(suite, ["comparison.confidence=0.99"])
    found = {r.benchmark: r for r in task_table(strict, RunOptions(mirror=mirror, offline=True)).benchmarks}
    assert found["gsm8k"].smallest_points is None  # 2 / 2^6 = 0.031
    assert (found["arc"].smallest_points or 0) > (rows["arc"].smallest_points or 100)


def test_missing_data_are_a_row(rows: dict[str, BenchmarkRow]) -> None:
    row = rows["openbookqa"]
    assert row.missing == ("allenai/openbookqa (main)",)
    assert (row.items, row.smallest_points) == (0, None)
    assert "prepare" in row.problems[0]
    assert "--mirror" in row.problems[0]


def run(suite: Path, mirror: Path, *more: str) -> Result:
    arguments = ["tasks", str(suite), "--offline", f"--mirror={mirror}", *more]
    return CliRunner(env={"COLUMNS": "100"}).invoke(commands.main, arguments, catch_exceptions=False)


def test_the_command_fits_its_terminal_and_ends_as_misuse_where_data_are_missing(
    suite: Path, mirror: Path
) -> None:
    done = run(suite, mirror)
    assert done.exit_code == 2
    lines = done.output.splitlines()
    assert max(map(len, lines)) <= 100
    assert any("missing data: allenai/openbookqa (main)" in line for line in lines)
    assert sum("fetch what is missing with `prepare`" in line for line in lines) == 1
    assert any(line.split()[-2:] == ["5", "none"] for line in lines if "program written" in line)


def test_the_command_takes_limit_and_set_and_prints_json(suite: Path, mirror: Path) -> None:
    done = run(suite, mirror, "--json", "--limit=3", "--set", "benchmarks.rest=[]")
    assert done.exit_code == 0
    shown = json.loads(done.stdout)
    assert [(b["benchmark"], b["items"], b["documents"]) for b in shown["benchmarks"]] == [
        ("gsm8k", 3, 8),
        ("arc", 3, 10),
        ("humaneval", 3, 5),
    ]
    assert (shown["confidence"], shown["power"], shown["discordant"]) == (0.95, 0.8, DISCORDANT)


def test_models_that_differ_more_hide_more(suite: Path, mirror: Path, rows: dict[str, BenchmarkRow]) -> None:
    settings = RunOptions(mirror=mirror, offline=True)
    found = {r.benchmark: r for r in task_table(load_suite(suite), settings, discordant=0.8).benchmarks}
    assert (found["arc"].smallest_points or 0) > (rows["arc"].smallest_points or 100)


def test_a_wrong_name_is_a_row_with_the_nearest(suite: Path, mirror: Path) -> None:
    done = run(
        suite, mirror, "--set", "benchmarks.reasoning.arc.tasks=arc_eazy", "--set", "benchmarks.rest=[]"
    )
    assert done.exit_code == 2
    assert "did you mean 'arc_easy'" in done.output
    assert "cannot be scored: see below" in done.output
