"""What changed, counted by hand on items of which every kind occurs."""

import pytest

from harness.comparison.compare import compare
from harness.core.record import AVERAGE, Change, Comparison, Item, Role
from harness.suite.spec import ComparisonSpec
from tests.harness.comparison.test_compare import entry, items

MODELS = [
    ("small", Role.TARGET),
    ("logic", Role.SOURCE),
    ("facts", Role.SOURCE),
    ("clm", Role.CONTROL),
    ("fused", Role.FUSED),
]
#           gained: from logic, from both, from none; lost: with a source, without; kept: right, wrong, wrong
SMALL = (0, 0, 0, 1, 1, 1, 0, 0)
LOGIC = (1, 1, 0, 1, 0, 1, 1, 0)
FACTS = (0, 1, 0, 0, 0, 1, 0, 0)
CLM = (0, 0, 1, 1, 1, 1, 0, 0)
FUSED = (1, 1, 1, 0, 0, 1, 0, 0)
SPEC = ComparisonSpec(resamples=500)


def scored(metric: str = "acc", scale: float = 1.0, times: int = 1) -> dict[str, list[Item]]:
    columns = zip(MODELS, (SMALL, LOGIC, FACTS, CLM, FUSED), strict=True)
    return {name: items([scale * v for v in column] * times, metric=metric) for (name, _), column in columns}


def change(comparison: Comparison, model: str = "fused", benchmark: str = "b") -> Change:
    return next(c for c in comparison.changes if (c.model, c.benchmark) == (model, benchmark))


@pytest.fixture(scope="module")
def compared() -> Comparison:
    return compare({"b": scored()}, MODELS, [entry("b")], SPEC)


def test_gained_lost_kept(compared: Comparison) -> None:
    found = change(compared)
    assert (found.gained, found.lost, found.kept, found.n) == (3, 2, 3, 8)


def test_transferred_by_source(compared: Comparison) -> None:
    """Of three gained, two were had by a source: logic had both, facts one of them."""
    found = change(compared)
    assert found.transferred == 2
    assert found.transferred_from == {"logic": 2, "facts": 1}


def test_interference_is_lost_though_a_source_had_it(compared: Comparison) -> None:
    assert change(compared).interference == 1


def test_the_oracle_and_the_share_of_the_gap_that_was_closed(compared: Comparison) -> None:
    """The best of small, logic and facts has items 0, 1, 3, 4, 5, 6: 6 of 8. Before 3, after 4: 1 of 3."""
    found = change(compared)
    assert (found.before, found.after, found.oracle) == (37.5, 50.0, 75.0)
    assert found.gap_closed == pytest.approx(100 / 3)


def test_the_share_of_the_gap_has_an_interval() -> None:
    found = change(compare({"b": scored(times=5)}, MODELS, [entry("b")], SPEC))
    assert found.gap_low is not None
    assert found.gap_high is not None
    assert found.gap_low < 100 / 3 < found.gap_high


def test_no_interval_where_resamples_may_have_no_gap() -> None:
    """One item of eight makes the gap: (7/8)^8, a third of the resamples, lack it."""
    by_model = scored() | {"logic": items((1, 0, 0, 0, 0, 0, 0, 0)), "facts": items(SMALL)}
    found = change(compare({"b": by_model}, MODELS, [entry("b")], SPEC))
    assert found.gap_closed == pytest.approx(100.0)
    assert (found.gap_low, found.gap_high) == (None, None)


def test_the_control_is_counted_the_same_way(compared: Comparison) -> None:
    found = change(compared, "clm")
    assert (found.role, found.gained, found.transferred) == (Role.CONTROL, 1, 0)


def test_a_fused_model_that_is_the_oracle_closed_the_gap() -> None:
    by_model = scored(times=5) | {"fused": items((1, 1, 0, 1, 1, 1, 1, 0) * 5)}
    found = change(compare({"b": by_model}, MODELS, [entry("b")], SPEC))
    assert (found.gap_closed, found.gap_low, found.gap_high) == (100.0, 100.0, 100.0)


def test_without_a_gap_there_is_no_share_of_it() -> None:
    """No source has an item that the target lacks."""
    by_model = scored() | {name: items(SMALL) for name in ("logic", "facts")}
    found = change(compare({"b": by_model}, MODELS, [entry("b")], SPEC))
    assert (found.oracle, found.gap_closed, found.gap_low) == (found.before, None, None)
    assert (found.gained, found.transferred) == (3, 0)


def test_a_capability_adds_up_counts_and_averages_shares() -> None:
    """A second benchmark of two items, one gained by transfer: before 0, after 50, oracle 50."""
    nothing = items([0, 0])
    second = {name: nothing for name, _ in MODELS} | {"logic": items([1, 0]), "fused": items([1, 0])}
    comparison = compare({"b": scored(), "c": second}, MODELS, [entry("b"), entry("c")], SPEC)
    found = change(comparison, benchmark=AVERAGE)
    assert (found.gained, found.lost, found.transferred, found.n) == (4, 2, 3, 10)
    assert found.before == pytest.approx((37.5 + 0) / 2)
    assert found.oracle == pytest.approx((75 + 50) / 2)
    # (after - before) / (oracle - before) of the macro means: (12.5 + 50) / (37.5 + 50)
    assert found.gap_closed == pytest.approx(100 * 62.5 / 87.5)


def test_where_lower_is_better_less_is_gained() -> None:
    """The same items scored by a perplexity of 2 and 4: what was gained is now lost."""
    by_model = scored("perplexity", 2.0)
    for name, column in by_model.items():
        by_model[name] = [
            i.model_copy(update={"scores": {"perplexity": 2 + i.scores["perplexity"]}}) for i in column
        ]
    found = change(compare({"b": by_model}, MODELS, [entry("b", metrics=("perplexity",))], SPEC))
    assert (found.unit, found.gained, found.lost) == ("score", 2, 3)
    assert found.oracle < found.before  # the best answer's perplexity is lower


def test_without_the_target_before_nothing_is_said_to_have_changed() -> None:
    comparison = compare({"b": scored()}, MODELS[1:], [entry("b")], SPEC)
    assert comparison.changes == ()
