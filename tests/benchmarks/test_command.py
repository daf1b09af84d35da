"""`python -m benchmarks fusion`: its JSON can be read on its own, and its progress tells rows apart."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.sandbox import confining

CHECKOUT = Path(__file__).resolve().parents[2]
MODELS = CHECKOUT / "suites/micro/models"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", "fusion", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def quick() -> tuple[dict[str, Any], list[str]]:
    """The report of one quick run over cheap parts, and its lines of progress."""
    models = ["--model", str(MODELS / "target"), "--model", str(MODELS / "code")]
    done = run("--quick", "--json", "--only", "alignment", "--only", "objective", *models)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), [line for line in done.stderr.splitlines() if "x as fast" in line]


def check_rows(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert row["ours"] and row["reference"] and row["bar"], row
        assert row["time_ratio"] > 0
        assert row["outputs_agree"] is not False, row
        assert row["met"] in (True, False, None)
        assert (row["met"] is None) == (row["bar"] == "none")


def test_every_row_names_what_was_compared(quick: tuple[dict[str, Any], list[str]]) -> None:
    rows = quick[0]["rows"]
    check_rows(rows)
    assert len({(row["case"], row["reference"]) for row in rows}) == len(rows) == 8


def test_a_quick_run_measures_no_memory_and_judges_no_bar(quick: tuple[dict[str, Any], list[str]]) -> None:
    assert {row["memory_ratio"] for row in quick[0]["rows"]} == {None}
    assert {row["met"] for row in quick[0]["rows"]} == {None}


def test_models_are_measured_too_the_first_being_the_target(quick: tuple[dict[str, Any], list[str]]) -> None:
    assert quick[0]["settings"]["models"] == ["target", "code"]
    assert sum("code to target" in row["case"] for row in quick[0]["rows"]) == 2


def test_a_report_says_where_when_and_with_what(quick: tuple[dict[str, Any], list[str]]) -> None:
    report = quick[0]
    assert {"processor", "cores", "torch threads"} <= report["machine"].keys()
    assert {"python", "torch", "numba", "rapidfuzz"} <= report["versions"].keys()
    assert report["date"].endswith("+00:00")
    assert {"time_ratio", "memory_ratio"} <= report["reading"].keys()


def test_progress_tells_two_references_of_a_case_apart(quick: tuple[dict[str, Any], list[str]]) -> None:
    report, lines = quick
    assert len(lines) == len(report["rows"])
    for line, row in zip(lines, report["rows"], strict=True):
        assert f"{row['ours']} against {row['reference']}" in line


def test_an_unknown_part_is_refused_with_those_there_are() -> None:
    done = run("--only", "alignement")
    assert done.returncode == 2
    assert "alignement" in done.stderr and "alignment" in done.stderr.replace("alignement", "")


@pytest.mark.slow
def test_all_parts_run_quickly() -> None:
    done = run("--quick", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    check_rows(report["rows"])
    assert len(report["rows"]) > 10


def test_the_sandbox_is_measured_against_what_it_replaces() -> None:
    """A few trivial programs; both ways have to find all of them right."""
    if confining() is None:
        pytest.skip("no sandbox works here")
    command = [sys.executable, "-m", "benchmarks", "sandbox", "--quick", "--json"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    check_rows([row])
    assert row["outputs_agree"] is True
    assert row["counted"]["passed"] == row["counted"]["passed code_eval"] == 4
