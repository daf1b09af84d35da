"""How far a score may fall: what a suite says, what the command line says over it, what neither may."""

import pytest

from harness.core.exceptions import InputError, SuiteError
from harness.suite.load import load_suite
from harness.suite.tolerance import of_benchmark, of_capability, overridden

NAMES = ("arc_easy", "commonsense")
SET = "comparison.tolerance"


def test_a_benchmark_has_its_own_else_its_capabilitys_else_the_default() -> None:
    given = {"default": 0.5, "commonsense": 1.0, "arc_easy": 2.0}
    assert of_benchmark(given, "arc_easy", "commonsense") == 2.0
    assert of_benchmark(given, "boolq", "commonsense") == 1.0
    assert of_capability(given, "commonsense") == 1.0
    assert of_benchmark(given, "gsm8k", "reasoning") == of_capability(given, "reasoning") == 0.5
    assert of_benchmark({}, "gsm8k", "reasoning") == 0.0


def test_the_command_line_goes_first_and_a_bare_number_goes_for_all() -> None:
    suite = {"default": 0.5, "arc_easy": 2.0}
    assert overridden(suite, (), NAMES) == suite
    assert overridden(suite, ("commonsense=1",), NAMES) == suite | {"commonsense": 1.0}
    assert overridden(suite, ("arc_easy=3", "1"), NAMES) == {"default": 1.0, "arc_easy": 3.0}


@pytest.mark.parametrize("text", ["-1", "x", "nan", "inf", "arc_easy=", "arc_easy=-1", ""])
def test_what_is_no_number_of_points_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not a number of points"):
        overridden({}, (text,), NAMES)


def test_a_name_that_is_none_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'arc_easy'"):
        overridden({}, ("arc_eazy=1",), NAMES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2", {"default": 2.0}),
        ("{default: 0, code: 1, micro_code: 2}", {"default": 0, "code": 1, "micro_code": 2}),
    ],
)
def test_a_suite_gives_one_number_or_names(text: str, expected: dict[str, float]) -> None:
    assert load_suite("micro", [f"{SET}={text}"]).suite.comparison.tolerance == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-1", "comparison.tolerance.default: input should be greater than or equal to 0"),
        ("{micro_kode: 1}", "comparison.tolerance: 'micro_kode' is neither a benchmark nor a capability"),
        ("{code: -1}", "comparison.tolerance.code: input should be greater than or equal to 0"),
        ("much", "comparison.tolerance: input should be a valid dictionary"),
    ],
)
def test_a_suites_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load_suite("micro", [f"{SET}={text}"])
    assert any(message in mistake for mistake in caught.value.mistakes)
