"""Programs with their tests and the word at their end, as text: nothing is run."""

import pytest

from harness.core.exceptions import InputError
from harness.sandbox import FIRST_HALF, SECOND_HALF
from harness.sandbox.languages.programs import Program, job_of, source_of
from harness.sandbox.languages.self_test import trial
from harness.sandbox.languages.table import LANGUAGES
from tests.harness.sandbox.languages.machine import require


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_source_holds_both_halves_but_never_side_by_side(language: str) -> None:
    source = source_of(trial(language, 2))
    assert source.count(FIRST_HALF) == source.count(SECOND_HALF) == 1
    assert FIRST_HALF + SECOND_HALF not in source


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_word_comes_behind_the_last_test(language: str) -> None:
    program = trial(language, 2)
    source = source_of(program)
    last_check = source.rindex("2", 0, source.index(FIRST_HALF))  # the sum that the last test expects
    assert source.index(program.candidate) < last_check < source.index(FIRST_HALF)


@pytest.mark.parametrize("language", LANGUAGES)
def test_braces_stay_balanced(language: str) -> None:
    program = trial(language, 2)
    whole, source = program.candidate + program.tests, source_of(program)
    assert source.count("}") - whole.count("}") == source.count("{") - whole.count("{")


def test_tests_that_close_too_few_blocks_are_refused() -> None:
    with pytest.raises(InputError, match="java close fewer than 2 blocks"):
        source_of(Program("java", "class A {", "}"))


def test_an_unknown_language_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'typescript'"):
        source_of(Program("typscript", "", ""))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, language in LANGUAGES.items() if not language.keeps_source])
def test_where_a_program_is_compiled_its_source_is_gone_when_it_runs(name: str) -> None:
    require(name)
    job = job_of(trial(name, 2))
    assert job.compile is not None
    assert set(job.compile.removes) == set(job.files)


@pytest.mark.slow
def test_java_runs_the_class_that_holds_the_tests() -> None:
    require("java")
    tests = "class Main {\n    public static void main(String[] args) {\n    }\n}\n"
    assert job_of(Program("java", "class Solution {\n}\nfinal class Helper {\n}", tests)).argv[-1] == "Main"
