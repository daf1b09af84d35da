"""Several trainings: known values, agreement with the t-test, and false alarms that stay within the rate."""

import numpy as np
import pytest
from scipy import stats

from harness.comparison.seed_variance import critical_value, item_variance, over_trainings
from harness.comparison.statistics import Design, Floats
from tests.harness.comparison.designs import plain

RUNS = 1000


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_trainings_that_agree_leave_the_items_t_test() -> None:
    """Three trainings with the same answers: no variance between them, so the paired t-test over items."""
    d = rng(1).normal(0.3, 1, size=40)
    found = over_trainings(np.stack([d, d, d]), plain(40), 0.95)
    theirs = stats.ttest_1samp(d, 0)
    assert found.p_value == pytest.approx(theirs.pvalue)
    assert found.interval == pytest.approx(theirs.confidence_interval(0.95))
    assert found.between == 0.0


def test_items_that_agree_leave_the_trainings_t_test() -> None:
    """Every item moves by what its training moves: three numbers, two degrees of freedom."""
    moves = np.array([1.0, 2.0, 4.0])
    found = over_trainings(np.repeat(moves[:, None], 50, axis=1), plain(50), 0.9)
    theirs = stats.ttest_1samp(moves, 0)
    assert found.p_value == pytest.approx(theirs.pvalue)
    assert found.interval == pytest.approx(theirs.confidence_interval(0.9))
    assert found.between == pytest.approx(moves.std(ddof=1))


def test_the_critical_value_is_the_weighted_mean_of_students() -> None:
    # t(0.975; 2) = 4.3027 and t(0.975; 30) = 2.0423, from the tables; variances 1 and 3
    assert critical_value(0.05, ((1.0, 2), (3.0, 30))) == pytest.approx((4.3027 + 3 * 2.0423) / 4, abs=1e-4)


@pytest.mark.parametrize("n", range(4, 40, 3))
def test_the_p_value_is_the_level_at_which_the_interval_touches_zero(n: int) -> None:
    d = rng(10).normal(0.4, 1, size=(3, n)) + np.array([[0.3], [0.0], [-0.2]])
    p = over_trainings(d, plain(n), 0.95).p_value
    interval = over_trainings(d, plain(n), 1 - p).interval
    assert min(map(abs, interval)) == pytest.approx(0.0, abs=1e-9)
    assert p > 1e-3


def test_what_is_beyond_doubt_has_a_p_value_too() -> None:
    d = 1.0 + rng(11).normal(0, 1e-12, size=(9, 900))
    assert 0 < over_trainings(d, plain(900), 0.95).p_value < 1e-20


def test_without_spread_nothing_can_be_said() -> None:
    found = over_trainings(np.ones((2, 5)), plain(5), 0.95)
    assert (found.interval, found.p_value) == ((1.0, 1.0), 1.0)


def test_more_trainings_of_the_same_kind_narrow_the_interval() -> None:
    d = np.tile([3.0, 7.0, 5.0], 4)[:, None] + rng(3).normal(0, 1, size=(12, 200))
    widths = [np.diff(over_trainings(d[:s], plain(200), 0.95).interval)[0] for s in (3, 6, 12)]
    assert widths == sorted(widths, reverse=True)


class TestItemVariance:
    def test_of_single_items_it_is_the_textbooks(self) -> None:
        d = rng(4).normal(size=30)
        assert item_variance(d, plain(30)) == pytest.approx((d.var(ddof=1) / 30, 29))

    def test_of_passages_it_is_that_of_their_means(self) -> None:
        means = rng(5).normal(size=20)
        labels = tuple(np.repeat(np.arange(20), 4).astype(str))
        found = item_variance(np.repeat(means, 4), Design(("b",) * 80, np.ones(80), labels))
        assert found == pytest.approx((means.var(ddof=1) / 20, 19))

    def test_strata_add_up_by_the_square_of_their_share(self) -> None:
        """Two benchmarks that count half each: (v_a + v_b) / 4."""
        d = rng(6).normal(size=30)
        weights = np.array([1.5] * 10 + [0.75] * 20)
        expected = (d[:10].var(ddof=1) / 10 + d[10:].var(ddof=1) / 20) / 4
        assert item_variance(d, Design(("a",) * 10 + ("b",) * 20, weights)) == pytest.approx((expected, 28))


def equals(draw: np.random.Generator, trainings: int, n: int = 100) -> Floats:
    """Right/wrong differences [S, n] of equals, whose skills move from training to training by 8 points."""
    difficulty = draw.normal(size=n)
    answers = [
        difficulty + draw.normal(size=(trainings, n)) + draw.normal(0, 0.3, size=(trainings, 1)) > 0
        for _ in range(2)
    ]
    return answers[0].astype(np.float64) - answers[1]


@pytest.mark.slow
@pytest.mark.parametrize("trainings", [2, 3, 5])
def test_false_alarms_stay_within_the_rate(trainings: int) -> None:
    """P(more than 72 alarms of 1,000 | 5 %) = 0.1 %."""
    draw = rng(7)
    p = [over_trainings(equals(draw, trainings), plain(100), 0.95).p_value for _ in range(RUNS)]
    assert np.mean(np.array(p) < 0.05) <= 0.072


@pytest.mark.slow
def test_one_training_cannot_carry_the_claim() -> None:
    """Items alone, of a single training each, raise the alarm more than twice as often as they should."""
    draw = rng(8)
    p = [stats.ttest_1samp(equals(draw, 1)[0], 0).pvalue for _ in range(RUNS)]
    assert np.mean(np.array(p) < 0.05) > 0.10


def test_a_planted_difference_is_found() -> None:
    """Five trainings of +35 points, between which the difference varies by 12: found nearly always."""
    draw = rng(9)
    p = [over_trainings(equals(draw, 5) + 0.35, plain(100), 0.95).p_value for _ in range(200)]
    assert np.mean(np.array(p) < 0.05) > 0.9
