"""`python -m benchmarks fusion`: its JSON can be read on its own, and its progress tells rows apart."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import ROOMS, _parts
from harness.sandbox import confining
from tests.conftest import CHECKOUT, MadeOnce

MODELS = CHECKOUT / "suites/micro/models"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", "fusion", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)


def run_quickly(folder: Path) -> None:
    done = run("--quick", "--json", "--model", str(MODELS / "target"), "--model", str(MODELS / "code"))
    assert done.returncode == 0, done.stderr
    (folder / "report.json").write_text(done.stdout)
    (folder / "progress.txt").write_text(done.stderr)


@pytest.fixture(scope="module")
def quick(made_once: MadeOnce) -> tuple[dict[str, Any], list[str]]:
    """The report of one quick run over all parts, and its lines of progress."""
    folder = made_once("quick_benchmark", run_quickly)
    lines = (folder / "progress.txt").read_text().splitlines()
    return json.loads((folder / "report.json").read_text()), [line for line in lines if "x as fast" in line]


def check_rows(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert row["ours"] and row["reference"] and row["bar"], row
        assert row["time_ratio"] > 0
        assert row["outputs_agree"] is not False, row
        assert row["met"] in (True, False, None)
        assert (row["met"] is None) == (row["bar"] == "none")


@pytest.mark.slow
def test_every_row_names_what_was_compared(quick: tuple[dict[str, Any], list[str]]) -> None:
    rows = quick[0]["rows"]
    check_rows(rows)
    assert len({(row["case"], row["reference"]) for row in rows}) == len(rows) > 10


@pytest.mark.slow
def test_a_quick_run_measures_no_memory_and_judges_no_bar(quick: tuple[dict[str, Any], list[str]]) -> None:
    assert {row["memory_ratio"] for row in quick[0]["rows"]} == {None}
    assert {row["met"] for row in quick[0]["rows"]} == {None}


@pytest.mark.slow
def test_models_are_measured_too_the_first_being_the_target(quick: tuple[dict[str, Any], list[str]]) -> None:
    assert quick[0]["settings"]["models"] == ["target", "code"]
    assert any("code to target" in row["case"] for row in quick[0]["rows"])


@pytest.mark.slow
def test_a_report_says_where_when_and_with_what(quick: tuple[dict[str, Any], list[str]]) -> None:
    report = quick[0]
    assert {"processor", "cores", "torch threads"} <= report["machine"].keys()
    assert {"python", "torch", "numba", "rapidfuzz"} <= report["versions"].keys()
    assert report["date"].endswith("+00:00")
    assert {"time_ratio", "memory_ratio"} <= report["reading"].keys()


@pytest.mark.slow
def test_progress_tells_two_references_of_a_case_apart(quick: tuple[dict[str, Any], list[str]]) -> None:
    report, lines = quick
    assert len(lines) == len(report["rows"])
    for line, row in zip(lines, report["rows"], strict=True):
        assert f"{row['ours']} against {row['reference']}" in line


def test_an_unknown_part_is_refused_with_those_there_are() -> None:
    done = run("--only", "alignement")
    assert done.returncode == 2
    assert "alignement" in done.stderr and "alignment" in done.stderr.replace("alignement", "")


def test_without_a_choice_all_parts_are_run_else_those_in_order() -> None:
    assert _parts("fusion", ()) == list(ROOMS["fusion"])
    assert _parts("fusion", ("objective", "alignment")) == ["alignment", "objective"]


@pytest.mark.slow
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
