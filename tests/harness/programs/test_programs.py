"""Programs and their proofs, as text: nothing is run."""

import pytest

from harness.errors import InputError
from harness.sandbox.job import Outcome
from harness.sandbox.languages import LANGUAGES
from harness.sandbox.programs import (
    Halves,
    Program,
    Verdict,
    job_of,
    new_halves,
    source_of,
    verdict_of,
)
from harness.sandbox.trials import trial
from tests.harness.programs.machine import require

HALVES = Halves("0123456789abcdef", "fedcba9876543210")
PROOF = HALVES.whole


def outcome(**changes: object) -> Outcome:
    """A run that ended well and printed the proof on both streams."""
    printed = b"some output\n" + PROOF + b"\n"
    told: dict[str, object] = {
        "status": "ok",
        "return_code": 0,
        "stdout": printed,
        "stderr": printed,
        "wall_seconds": 0.1,
        "rss_bytes": 1 << 20,
    }
    return Outcome(**{**told, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_source_holds_both_halves_but_never_the_proof(language: str) -> None:
    source = source_of(trial(language, 2), HALVES)
    assert source.count(HALVES.first) == source.count(HALVES.second) == 1
    assert PROOF.decode() not in source


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_proof_comes_behind_the_last_test(language: str) -> None:
    program = trial(language, 2)
    source = source_of(program, HALVES)
    last_check = source.rindex("2", 0, source.index(HALVES.first))  # the sum that the last test expects
    assert source.index(program.candidate) < last_check < source.index(HALVES.first)


@pytest.mark.parametrize("language", LANGUAGES)
def test_braces_stay_balanced(language: str) -> None:
    program = trial(language, 2)
    whole = program.candidate + program.tests
    source = source_of(program, HALVES)
    added = source.count("{") - whole.count("{")
    assert source.count("}") - whole.count("}") == added


def test_two_proofs_are_never_the_same() -> None:
    assert new_halves() != new_halves()


def test_tests_that_close_too_few_blocks_are_refused() -> None:
    with pytest.raises(InputError, match="java close fewer than 2 blocks"):
        source_of(Program("java", "class A {", "}"), HALVES)


def test_an_unknown_language_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'typescript'"):
        source_of(Program("typscript", "", ""), HALVES)


PYTHON = trial("python", 2)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict.PASSED),
        ({"stdout": b"before " + PROOF}, Verdict.FAILED),  # not a line of its own
        ({"stdout": HALVES.first.encode() + b"\n" + HALVES.second.encode()}, Verdict.FAILED),
        ({"stdout": b""}, Verdict.FAILED),  # an early exit, however successful
        ({"status": "exit", "return_code": 1}, Verdict.FAILED),  # the proof, and then a failure
        ({"status": "signal", "return_code": 139}, Verdict.FAILED),
        ({"status": "timeout", "return_code": None}, Verdict.TIMED_OUT),
        ({"status": "timeout", "return_code": None, "stage": "compile"}, Verdict.TIMED_OUT),
        ({"status": "memory", "return_code": None}, Verdict.EXCEEDED),
        ({"status": "output", "return_code": None}, Verdict.EXCEEDED),
        ({"status": "exit", "return_code": 1, "stage": "compile"}, Verdict.NOT_COMPILED),
        ({"status": "memory", "return_code": None, "stage": "compile"}, Verdict.NOT_COMPILED),
    ],
)
def test_a_pass_takes_a_good_end_and_the_proof(changes: dict[str, object], verdict: Verdict) -> None:
    assert verdict_of(PYTHON, outcome(**changes), HALVES) is verdict


def test_the_proof_is_looked_for_where_the_language_prints_it() -> None:
    go = trial("go", 2)
    assert verdict_of(go, outcome(stdout=b""), HALVES) is Verdict.PASSED
    assert verdict_of(go, outcome(stderr=b""), HALVES) is Verdict.FAILED


@pytest.mark.parametrize("language", [n for n, entry in LANGUAGES.items() if not entry.keeps_source])
def test_where_a_program_is_compiled_its_source_is_gone_when_it_runs(language: str) -> None:
    require(language)
    job = job_of(trial(language, 2), HALVES)
    assert job.compile is not None
    assert set(job.compile.removes) == set(job.files)
