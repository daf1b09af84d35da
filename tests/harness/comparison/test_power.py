"""Power of the paired comparison: known values, agreement of its two forms, a simulation, monotony."""

from math import comb

import numpy as np
import pytest

from harness.comparison.power import (
    EXACT_ITEMS,
    critical_counts,
    equivalent_items,
    exact_power,
    normal_power,
    power_to_find,
    smallest_difference,
)
from harness.comparison.statistics import mcnemar_exact


def test_fewer_than_six_items_show_nothing() -> None:
    """All 5 one way: p = 2 / 2^5 = 0.0625; all 6: 2 / 2^6 = 0.03125."""
    assert smallest_difference(5) is None
    assert smallest_difference(0) is None
    assert mcnemar_exact(5, 0) == 0.0625
    assert smallest_difference(6) is not None


def test_six_items_show_what_makes_all_six_point_one_way() -> None:
    """With d = delta every discordant item is for the better: P(m = 6) = delta^6 = 0.8."""
    found = smallest_difference(6)
    assert found == pytest.approx(0.8 ** (1 / 6), abs=1e-5)


def test_power_of_seven_items_by_hand() -> None:
    """d = 1, delta = 0.8: q = 0.9. p(7:0) = 2/128, p(6:1) = 16/128 > 0.05, so power = 0.9^7.

    With d = 0.5 and delta = 0.4 (q = 0.9 too) only m = 6 (6:0) and m = 7 (7:0) can be significant.
    """
    assert exact_power(0.8, 7, 1.0, 0.05) == pytest.approx(0.9**7)
    by_hand = comb(7, 6) * 0.5**7 * 0.9**6 + 0.5**7 * 0.9**7
    assert exact_power(0.4, 7, 0.5, 0.05) == pytest.approx(by_hand)


def test_the_critical_counts_are_those_of_the_test_that_is_used() -> None:
    for m in range(60):
        (k,) = critical_counts(np.array([float(m)]), 0.05).astype(int)
        assert k < 0 or mcnemar_exact(int(k), m - int(k)) < 0.05
        assert 2 * (k + 1) > m or mcnemar_exact(int(k) + 1, m - int(k) - 1) >= 0.05


@pytest.mark.parametrize(("n", "d", "delta"), [(40, 0.2, 0.15), (200, 0.2, 0.08), (500, 0.4, 0.1)])
def test_power_is_the_share_of_simulated_samples_that_the_test_finds(n: int, d: float, delta: float) -> None:
    """20,000 samples: standard error at most 0.0036; five of them are allowed."""
    rng = np.random.default_rng(0)
    m = rng.binomial(n, d, size=20_000)
    b = rng.binomial(m, (d + delta) / (2 * d))
    found = np.mean(
        [
            better > all_ / 2 and mcnemar_exact(better, all_ - better) < 0.05
            for better, all_ in zip(b.tolist(), m.tolist(), strict=True)
        ]
    )
    assert exact_power(delta, n, d, 0.05) == pytest.approx(found, abs=0.018)


@pytest.mark.parametrize("d", [0.05, 0.2, 0.5])
def test_both_forms_agree_where_they_meet(d: float) -> None:
    """At EXACT_ITEMS items the minimum detectable effect in percentage points does not jump by 0.01."""
    below = smallest_difference(EXACT_ITEMS, discordant=d)
    above = smallest_difference(EXACT_ITEMS + 1, discordant=d)
    assert below is not None
    assert above is not None
    assert abs(below - above) * 100 < 0.01


def test_connors_example() -> None:
    """d = 0.2, delta = 0.05: (1.95996 sqrt(0.2) + 0.84162 sqrt(0.1975))^2 / 0.0025 = 625.05 (by hand)."""
    assert normal_power(0.05, 626, 0.2, 0.05) == pytest.approx(0.8, abs=0.001)


def test_the_exact_test_needs_somewhat_more_items_than_connor() -> None:
    assert power_to_find(0.05, 626) < 0.8 < power_to_find(0.05, round(1.1 * 626))


def test_more_items_show_less_and_more_discordance_hides_more() -> None:
    sizes = [smallest_difference(n) or 1.0 for n in (10, 30, 100, 300, 1000, 3000, 10_000, 30_000)]
    assert sizes == sorted(sizes, reverse=True)
    shares = [smallest_difference(500, discordant=d) or 1.0 for d in (0.05, 0.1, 0.2, 0.4)]
    assert shares == sorted(shares)


def test_a_stricter_test_shows_less() -> None:
    lenient, strict = smallest_difference(300, alpha=0.05), smallest_difference(300, alpha=0.01)
    assert lenient is not None
    assert strict is not None
    assert strict > lenient


def test_equal_benchmarks_add_up_and_unequal_ones_do_not() -> None:
    """Sizes 100 and 300: 4 / (1/100 + 1/300) = 300, not 400."""
    assert equivalent_items([100, 100, 100]) == 300
    assert equivalent_items([100, 300]) == 300
    assert equivalent_items([70]) == 70
    assert equivalent_items([]) == 0
    assert equivalent_items([10, 0]) == 0
