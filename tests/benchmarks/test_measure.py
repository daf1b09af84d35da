"""How figures are taken and named: each alternative as often as the others, one direction for all ratios."""

from pathlib import Path

import pytest

from benchmarks.measure import Bar, Row, alternate, extra_peak

needs_linux = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="peaks are Linux's to tell"
)


@pytest.mark.parametrize(("warmed", "calls"), [(False, 4), (True, 3)])
def test_alternatives_are_called_in_turn_equally_often(
    warmed: bool, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gc.collect", lambda: 0)  # takes the longer, the more tests this process has run
    seen: list[str] = []

    def call(name: str) -> int:
        seen.append(name)
        return len(seen)

    timed = alternate(lambda: call("ours"), lambda: call("reference"), rounds=3, warmed=warmed)
    assert seen == ["ours", "reference"] * calls
    assert [t.result for t in timed] == [2 * calls - 1, 2 * calls]


def test_ratios_above_one_are_in_favour_of_ours() -> None:
    row = Row("step", "ours", "reference", 2.0, 6.0, extra_peak_mib=10.0, reference_extra_peak_mib=25.0)
    assert (row.time_ratio, row.memory_ratio) == (3.0, 2.5)


def test_memory_that_was_not_measured_has_no_ratio() -> None:
    assert Row("step", "ours", "reference", 2.0, 6.0, extra_peak_mib=10.0).memory_ratio is None


@pytest.mark.parametrize(
    ("bar", "words"),
    [
        (Bar("ms", "at most", 25, 24.0), "ms at most 25: 24, met"),
        (Bar("ms", "at most", 25, 26.0), "ms at most 25: 26, not met"),
        (Bar("speed x of plain", "at least", 0.95, 0.95), "speed x of plain at least 0.95: 0.95, met"),
        (Bar("speed x of plain", "at least", 0.95, 0.9), "speed x of plain at least 0.95: 0.9, not met"),
    ],
)
def test_a_bar_says_whether_it_is_met(bar: Bar, words: str) -> None:
    assert str(bar) == words


@needs_linux
@pytest.mark.parametrize("before", [0, 200], ids=["cold", "after a larger warm-up"])
def test_the_peak_is_that_of_the_work_alone(before: int) -> None:
    """64 MiB, within what an interpreter allocates besides; a warm-up neither counts nor hides it."""
    found = extra_peak("tests.benchmarks.blocks", str(before), "64")
    assert found is not None
    assert 63 < found < 68
