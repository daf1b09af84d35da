"""Solutions whose fate is known, in every language and format that benchmarks use, run in the sandbox."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.sandbox import Ruling
from harness.sandbox.languages.programs import Program, judge_programs
from harness.sandbox.languages.self_test import flaw
from harness.sandbox.languages.table import LANGUAGES
from suites.tasks.languages.programs import humaneval_candidates, multipl_e_candidates, program_of
from tests.harness.sandbox.languages import humaneval_rows, multipl_e_rows
from tests.harness.sandbox.languages.machine import require
from tests.harness.sandbox.languages.multipl_e_rows import Problem

FATES = {  # ruling, and whether the program compiles
    "right": (Ruling.PASSED, True),
    "wrong": (Ruling.ERROR, True),
    "broken": (Ruling.ERROR, False),
    "looping": (Ruling.TIMEOUT, True),
}


def programs(problem: Problem, row: dict[str, object], multipl_e: bool) -> Iterator[tuple[str, Program]]:
    """The problem's programs by their fate, made as the tasks make them."""
    candidates = multipl_e_candidates if multipl_e else humaneval_candidates
    for fate in FATES:
        if completion := getattr(problem, fate):
            [[candidate]] = candidates([[completion]], [row])
            yield fate, program_of(row, candidate)


MULTIPL_E = {
    f"multipl_e {name} {language} {fate}": (fate, program)
    for name, problems in multipl_e_rows.PROBLEMS.items()
    for language, problem in problems.items()
    for fate, program in programs(problem, multipl_e_rows.row(name, language), multipl_e=True)
}
HUMANEVAL = {
    f"humaneval {language} {fate}": (fate, program)
    for language, problem in humaneval_rows.BELOW_THRESHOLD.items()
    for fate, program in programs(problem, humaneval_rows.row(language), multipl_e=False)
}
CASES = {**MULTIPL_E, **HUMANEVAL}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_solution_meets_its_fate(case: str) -> None:
    fate, program = CASES[case]
    require(program.language)
    # tried twice, a looping program takes two seconds by this wall clock
    limits = replace(LANGUAGES[program.language].limits, wall_seconds=1.0) if fate == "looping" else None
    [verdict] = judge_programs([program], limits=limits)
    assert (verdict.ruling, verdict.compiled) == FATES[fate], verdict.detail


@pytest.mark.slow
@pytest.mark.parametrize("language", humaneval_rows.CONCATENATE)
def test_solutions_fit_the_datasets_own_rows(language: str, shared: Path) -> None:
    require(language)
    path = shared / "data" / "hub" / "mxeval" / "multi-humaneval" / language / "test.jsonl"
    rows = {row["task_id"].split("/")[1]: row for row in map(json.loads, path.read_text().splitlines())}
    below = humaneval_rows.BELOW_THRESHOLD[language]
    solutions = {"28": humaneval_rows.CONCATENATE[language], "52": (below.right, below.wrong)}
    tried = [
        program_of(rows[number], candidate)
        for number, pair in solutions.items()
        for candidate in humaneval_candidates([pair], [rows[number]])[0]
    ]
    found = [(verdict.ruling, verdict.compiled) for verdict in judge_programs(tried)]
    assert found == [FATES["right"], FATES["wrong"]] * len(solutions)


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_doctor_can_prove_a_language(language: str) -> None:
    require(language)
    assert flaw(language) == ""


def test_every_language_of_the_table_is_tried_or_judged_elsewhere() -> None:
    """Python's programs are judged by tests in a sandbox apart, through lm-eval's own tasks."""
    assert {program.language for _, program in CASES.values()} == set(LANGUAGES) - {"python"}
