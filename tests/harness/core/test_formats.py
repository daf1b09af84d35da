"""Numbers as people read them."""

import pytest

from harness.core import formats


@pytest.mark.parametrize(
    "value, text", [(12.34, "+12.3"), (-4.0, "−4.0"), (0.04, "0.0"), (-0.04, "0.0"), (100.0, "+100.0")]
)
def test_signed_percent(value: float, text: str) -> None:
    assert formats.signed(value) == text


def test_bits_per_byte_has_three_decimals() -> None:
    assert formats.number(1.20449, "bits/byte") == "1.204"


@pytest.mark.parametrize(
    "p, text", [(0.0001, "p < 0.001"), (0.0423, "p = 0.042"), (0.314, "p = 0.31"), (1.0, "p = 1.00")]
)
def test_p_values(p: float, text: str) -> None:
    assert formats.p_value(p) == text


@pytest.mark.parametrize(
    "seconds, text",
    [(0.42, "0.4 s"), (9.96, "10 s"), (59.7, "1 min 00 s"), (185, "3 min 05 s"), (8040, "2 h 14 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert formats.duration(seconds) == text


@pytest.mark.parametrize("count, text", [(512, "512 B"), (999.7, "1.0 kB"), (3_400_000, "3.4 MB")])
def test_sizes(count: float, text: str) -> None:
    assert formats.size(count) == text


@pytest.mark.parametrize("count, text", [(950, "950"), (1_800_000, "1.8M"), (7_000_000_000, "7.0B")])
def test_quantities(count: float, text: str) -> None:
    assert formats.quantity(count) == text


def test_lists() -> None:
    assert [formats.listed(x) for x in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
