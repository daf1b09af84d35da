"""What a run cost: effort from counts and sizes, sums over stages, and the gain for each token."""

from typing import Any

import pytest

from harness.comparison.compare import compare
from harness.core.effort import for_fusion, gains_per_token, model_effort, spent
from harness.core.record import Role, StageEntry, TrainingCurve
from tests.harness.comparison.test_compare import PAIR, SPEC, entry, items, two

PARAMETERS = {"big": 1000, "fused": 10}


def stage(name: str, **changes: Any) -> StageEntry:
    values = {"name": name, "key": "k", "seconds": 2.0, "reused": False, "bytes": 5, "facts": {}}
    return StageEntry.model_validate({**values, **changes})


@pytest.mark.parametrize(
    ("name", "facts", "expected"),
    [
        ("distributions:big", {"tokens": 7}, {"tokens": 7, "flops": 2 * 1000 * 7}),
        ("training:fused", {"tokens": 7}, {"tokens": 7, "flops": 6 * 10 * 7}),
        ("scoring:big:arc", {"tokens_read": 7, "items": 3}, {"tokens": 7, "flops": 2 * 1000 * 7}),
        ("scoring:big:arc", {"tokens_read": None}, {}),  # a backend that does not count
        ("vocabulary:big", {"tokens": 7}, {}),  # tokens of a vocabulary: nothing is read
        ("distributions:unknown", {"tokens": 7}, {}),
        ("corpus", {}, {}),
    ],
)
def test_effort_of_a_stage(name: str, facts: dict[str, Any], expected: dict[str, float]) -> None:
    assert model_effort(name, facts, PARAMETERS) == expected


def test_sums_leave_out_what_no_stage_says() -> None:
    total = spent([stage("a", tokens=3, flops=1.0, memory_bytes=9), stage("b", tokens=4), stage("c")])
    assert (total.seconds, total.bytes, total.tokens, total.flops, total.memory_bytes) == (6.0, 15, 7, 1.0, 9)
    assert spent([stage("a")]).tokens is None


def test_the_control_does_without_what_is_for_fusion() -> None:
    names = [
        "corpus",
        "windows",
        "distributions:a",
        "vocabulary:a",
        "alignment:a",
        "fusion",
        "training:fused",
    ]
    assert [s.name for s in for_fusion([stage(n) for n in names])] == names[2:6]


def test_gain_for_each_million_tokens() -> None:
    """30 points more than the control after 2 million tokens: 15 each, and the interval with them."""
    pair = two(items([1] * 8 + [0] * 2 + [1] * 10), items([0] * 8 + [1] * 2 + [1] * 10))
    comparison = compare({"b": pair}, PAIR, [entry("b")], SPEC)
    curves = [TrainingCurve(model=name, tokens=2_000_000, points=()) for name in ("clm", "fused")]
    (gain,) = gains_per_token(comparison, curves)
    difference = next(d for r in comparison.rows for d in r.differences if d.role is Role.CONTROL)
    assert gain.points == pytest.approx(15.0)
    assert (gain.low, gain.high) == pytest.approx((difference.low / 2, difference.high / 2))
    assert gain.tokens == 2_000_000


def test_without_a_training_there_is_no_gain_to_divide() -> None:
    pair = two(items([1]), items([0]))
    assert list(gains_per_token(compare({"b": pair}, PAIR, [entry("b")], SPEC), [])) == []
