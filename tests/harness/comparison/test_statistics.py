"""Paired statistics: known values with their derivation, invariances, and validity by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.comparison.statistics import (
    Design,
    benjamini_hochberg,
    bootstrap,
    bootstrap_means,
    bootstrap_ratios,
    expanded,
    holm,
    macro_weights,
    mcnemar_exact,
    paired_permutation,
    percentiles,
)
from tests.harness.comparison.designs import plain

DIFFERENCES = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=25)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class TestMcNemar:
    def test_eight_better_two_worse(self) -> None:
        # 2 * P(Binomial(10, 1/2) <= 2) = 2 * (1 + 10 + 45) / 1024
        assert mcnemar_exact(8, 2) == pytest.approx(0.109375)

    def test_five_better_none_worse(self) -> None:
        assert mcnemar_exact(5, 0) == pytest.approx(2 / 32)  # all heads or all tails of five coins

    def test_a_published_table(self) -> None:
        # airway hyper-responsiveness before and after transplantation, discordant 1 and 7: exact conditional
        # p = 0.070 (Fagerland, Lydersen and Laake, BMC Med. Res. Methodol. 13:91, 2013)
        assert mcnemar_exact(1, 7) == pytest.approx(0.070, abs=0.0005)

    @pytest.mark.parametrize("counts", [(86, 150), (59, 6), (4, 5), (0, 12), (500, 430)])
    def test_equals_scipys_binomial_test(self, counts: tuple[int, int]) -> None:
        assert mcnemar_exact(*counts) == pytest.approx(stats.binomtest(counts[0], sum(counts)).pvalue)

    @pytest.mark.parametrize("counts", [(0, 0), (1, 0), (7, 7)])
    def test_says_nothing_where_nothing_can_be_said(self, counts: tuple[int, int]) -> None:
        assert mcnemar_exact(*counts) == pytest.approx(1.0)

    @given(st.integers(0, 60), st.integers(0, 60))
    def test_swapping_the_models_changes_nothing(self, better: int, worse: int) -> None:
        assert mcnemar_exact(better, worse) == pytest.approx(mcnemar_exact(worse, better))


class TestPermutation:
    def test_three_equal_gains(self) -> None:
        # of 2^3 sign flips, +++ and --- are as extreme as what was seen
        assert paired_permutation([1, 1, 1], 2000, rng()) == pytest.approx(2 / 8)

    def test_two_unequal_gains(self) -> None:
        # |+-3 +-1| = 4, 2, 2, 4: two of four reach 4
        assert paired_permutation([3, 1], 2000, rng()) == pytest.approx(2 / 4)

    def test_equals_scipy_where_all_flips_are_counted(self) -> None:
        d = rng(1).normal(0.4, 1, size=10)
        theirs = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=2000)
        assert paired_permutation(d, 2000, rng()) == pytest.approx(theirs.pvalue)

    @pytest.mark.parametrize("better, worse", [(6, 1), (9, 2), (5, 5)])
    def test_equals_mcnemar_on_right_and_wrong(self, better: int, worse: int) -> None:
        d = [1.0] * better + [-1.0] * worse + [0.0] * 5
        assert paired_permutation(d, 5000, rng()) == pytest.approx(mcnemar_exact(better, worse))

    def test_monte_carlo_is_close_to_the_t_test_on_normal_data(self) -> None:
        d = rng(3).normal(0.25, 1, size=80)
        assert paired_permutation(d, 20_000, rng()) == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.01)

    def test_monte_carlo_never_claims_more_than_it_drew(self) -> None:
        assert paired_permutation(np.ones(200), 999, rng()) == pytest.approx(1 / 1000)

    @pytest.mark.parametrize("d", [[], [0.0], [0.0, 0.0], [2.5]])
    def test_says_nothing_where_nothing_can_be_said(self, d: list[float]) -> None:
        assert paired_permutation(d, 100, rng()) == 1.0

    @settings(max_examples=30)
    @given(DIFFERENCES)
    def test_order_and_direction_do_not_matter(self, d: list[float]) -> None:
        p = paired_permutation(d, 500, rng())
        assert paired_permutation(d[::-1], 500, rng()) == p
        assert paired_permutation([7 * x for x in d], 500, rng()) == pytest.approx(p)
        assert paired_permutation([-x for x in d], 500, rng()) == p

    def test_false_alarms_stay_within_the_stated_rate(self) -> None:
        # 1,000 comparisons of equals; P(more than 70 alarms | 5 %) = 0.2 %
        draws = rng(5).laplace(size=(1000, 30))
        alarms = sum(paired_permutation(d, 199, rng(i)) <= 0.05 for i, d in enumerate(draws))
        assert alarms <= 70
        assert alarms >= 30  # and it is not silent either


class TestBootstrap:
    @staticmethod
    def interval(d: object, strata: list[str] | None = None, resamples: int = 2000) -> tuple[float, float]:
        values = np.asarray(d, dtype=float)
        design = Design(strata, macro_weights(strata)) if strata else plain(values.size)
        return bootstrap(values, design, 0.95, resamples, rng()).interval

    def test_no_items(self) -> None:
        assert all(math.isnan(end) for end in self.interval([]))

    @pytest.mark.parametrize("d", [[3.0], [3.0, 3.0, 3.0]])
    def test_without_spread_it_is_the_point(self, d: list[float]) -> None:
        assert self.interval(d) == (3.0, 3.0)

    def test_width_of_right_and_wrong(self) -> None:
        # 100 items, half +1 half -1: standard error of the mean 1/10, so about +-0.196
        low, high = self.interval([1.0, -1.0] * 50, resamples=20_000)
        assert low == pytest.approx(-0.196, abs=0.025)
        assert high == pytest.approx(0.196, abs=0.025)

    def test_drawing_counts_equals_drawing_items(self) -> None:
        """Few distinct values are drawn as counts; a jitter forces the other way, which must agree."""
        d = rng(2).choice([-1.0, 0.0, 1.0], p=[0.1, 0.6, 0.3], size=200)
        jittered = d + np.linspace(0, 1e-9, d.size)
        assert self.interval(d, resamples=20_000) == pytest.approx(
            self.interval(jittered, resamples=20_000), abs=0.01
        )

    @settings(max_examples=30)
    @given(DIFFERENCES)
    def test_order_does_not_matter_and_swapping_mirrors(self, d: list[float]) -> None:
        low, high = self.interval(d)
        assert self.interval(d[::-1]) == (low, high)
        assert low <= high
        if sum(d):
            assert self.interval([-x for x in d]) == (-high, -low)

    def test_order_does_not_matter_for_continuous_differences_either(self) -> None:
        d = rng(4).normal(0.3, 1, size=40)  # more distinct values than are drawn as counts
        shuffled = rng(5).permutation(d)
        assert self.interval(shuffled) == self.interval(d)
        assert paired_permutation(shuffled, 500, rng()) == paired_permutation(d, 500, rng())

    def test_strata_count_the_same_whatever_their_size(self) -> None:
        # 90 items at 0 and 10 at +1: mean 0.1, macro mean 0.5; no spread within either stratum
        d, strata = [0.0] * 90 + [1.0] * 10, ["big"] * 90 + ["small"] * 10
        assert self.interval(d, strata) == (0.5, 0.5)

    def test_covers_the_truth_as_often_as_it_says(self) -> None:
        # 500 samples of 60 skewed differences, where percentile intervals fall a little short of 95 %
        draws = rng(11).exponential(1.0, size=(500, 60)) - 0.8
        intervals = [bootstrap(d, plain(60), 0.95, 500, rng(i)).interval for i, d in enumerate(draws)]
        covered = sum(low <= 0.2 <= high for low, high in intervals) / len(draws)
        assert 0.91 <= covered <= 0.975

    def test_equals_scipys_percentile_interval(self) -> None:
        d = rng(6).exponential(1.0, size=50)
        theirs = stats.bootstrap((d,), np.mean, method="percentile", n_resamples=20_000, rng=rng(7))
        means = bootstrap_means(d, plain(50), 20_000, rng())
        assert percentiles(means, 0.95) == pytest.approx(theirs.confidence_interval, abs=0.01)

    def test_of_few_items_it_is_expanded(self) -> None:
        """10 items: 2.262 x sqrt(10/9) = 2.385 normal quantiles instead of 1.960, so 98.3 % of resamples."""
        assert expanded(0.95, plain(10)) == pytest.approx(2 * stats.norm.cdf(2.3845) - 1, abs=1e-4)
        assert expanded(0.95, plain(10_000)) == pytest.approx(0.95, abs=1e-4)
        assert expanded(0.95, plain(1)) == 0.95

    @pytest.mark.slow
    @pytest.mark.parametrize("n", [8, 15])
    def test_of_few_normal_items_it_covers_as_often_as_it_says(self, n: int) -> None:
        draws = rng(12).normal(size=(1000, n))
        intervals = [bootstrap(d, plain(n), 0.95, 400, rng(i)).interval for i, d in enumerate(draws)]
        covered = sum(low <= 0 <= high for low, high in intervals) / len(draws)
        assert 0.928 <= covered <= 0.975


class TestDesign:
    """Strata keep their size, clusters are drawn and flipped as one."""

    D = np.array([1.0, 1.0, -1.0, 0.0, 1.0, 1.0])
    PASSAGES = ("p", "p", "q", "q", "r", "r")

    def design(self, clusters: tuple[str, ...] | None = PASSAGES) -> Design:
        return Design(("b",) * 6, np.ones(6), clusters)

    def test_a_cluster_flips_as_one(self) -> None:
        assert self.design().grouped(self.D).tolist() == [2.0, -1.0, 2.0]
        assert self.design(None).grouped(self.D).tolist() == self.D.tolist()

    def test_clusters_of_one_are_items(self) -> None:
        alone = self.design(tuple("abcdef"))
        drawn = [bootstrap_means(self.D, d, 300, rng()) for d in (alone, self.design(None))]
        assert drawn[0].tolist() == drawn[1].tolist()

    def test_items_that_repeat_one_another_widen_the_interval(self) -> None:
        """20 answers given five times each say what 20 say: the error is that of 20, not of 100."""
        twenty = rng(1).normal(size=20)
        repeated = np.repeat(twenty, 5)
        labels = tuple(str(i) for i in np.repeat(np.arange(20), 5))
        design = Design(("b",) * 100, np.ones(100), labels)
        ours = bootstrap(repeated, design, 0.95, 20_000, rng()).error
        assert ours == pytest.approx(np.std(twenty) / np.sqrt(20), rel=0.03)
        alone = bootstrap(repeated, plain(100), 0.95, 20_000, rng()).error
        assert alone == pytest.approx(ours / np.sqrt(5), rel=0.05)

    def test_what_is_the_same_in_every_sample_adds_no_spread(self) -> None:
        """Two templates of one benchmark, one all gained, one all lost: fixed, so nothing varies."""
        d = np.array([1.0] * 5 + [-1.0] * 5)
        fixed = Design(("a",) * 5 + ("b",) * 5, np.ones(10))
        assert bootstrap(d, fixed, 0.95, 200, rng()).interval == (0.0, 0.0)
        assert bootstrap(d, plain(10), 0.95, 200, rng()).error > 0.2

    def test_order_does_not_matter(self) -> None:
        d, labels = rng(2).normal(size=40), np.repeat(np.arange(10), 4).astype(str)
        order = rng(3).permutation(40)
        ours = Design(("b",) * 40, np.ones(40), tuple(labels))
        theirs = Design(("b",) * 40, np.ones(40), tuple(labels[order]))
        found = [bootstrap(x, g, 0.95, 300, rng()).interval for x, g in ((d, ours), (d[order], theirs))]
        assert found[0] == pytest.approx(found[1], abs=1e-12)

    def test_a_ratio_is_of_sums(self) -> None:
        """No spread: 1 of 4 in every resample; without a whole there is no ratio."""
        quarter = bootstrap_ratios(np.full(8, 0.25), np.ones(8), plain(8), 50, rng())
        assert quarter.tolist() == [0.25] * 50
        assert np.isnan(bootstrap_ratios(np.ones(8), np.zeros(8), plain(8), 5, rng())).all()


class TestCorrections:
    def test_holm_by_hand(self) -> None:
        # sorted 0.01, 0.03, 0.04 -> 3 x 0.01, 2 x 0.03, max(0.06, 1 x 0.04)
        assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])

    def test_holm_of_nothing_and_of_one(self) -> None:
        assert holm([]) == []
        assert holm([0.2]) == [0.2]

    @given(st.lists(st.floats(0, 1), max_size=12))
    def test_holm_never_helps_and_keeps_the_order(self, p: list[float]) -> None:
        adjusted = holm(p)
        assert all(a >= q and a <= 1 for a, q in zip(adjusted, p, strict=True))
        ranked = sorted(zip(p, adjusted, strict=True))
        assert [a for _, a in ranked] == sorted(a for _, a in ranked)

    # the 15 p-values of Benjamini and Hochberg's own example (1995, section 3.1)
    PUBLISHED = (
        *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
        *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000),
    )

    def test_the_published_example_of_both(self) -> None:
        # at 5 % their procedure rejects the four smallest, the family-wise one three
        assert sum(p < 0.05 for p in benjamini_hochberg(self.PUBLISHED)) == 4
        assert sum(p < 0.05 for p in holm(self.PUBLISHED)) == 3

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
    def test_benjamini_hochberg_equals_scipys(self, p: list[float]) -> None:
        assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p).tolist())

    def test_benjamini_hochberg_of_nothing(self) -> None:
        assert benjamini_hochberg([]) == []

    @given(st.lists(st.floats(0, 1), max_size=12))
    def test_benjamini_hochberg_claims_no_less_than_holm(self, p: list[float]) -> None:
        pairs = zip(benjamini_hochberg(p), holm(p), strict=True)
        assert all(bh <= h + 1e-12 for bh, h in pairs)

    def test_macro_weights_with_given_shares(self) -> None:
        # a counts for 3/4: 3 x (3/4)/2 each; b for 1/4: 3 x 1/4
        assert macro_weights(["a", "a", "b"], {"a": 0.75, "b": 0.25}) == pytest.approx([1.125, 1.125, 0.75])

    def test_macro_weights(self) -> None:
        # mean of (mean of a's two, b's one): weights 1/4, 1/4, 1/2, times n = 3
        assert macro_weights(["a", "a", "b"]) == pytest.approx([0.75, 0.75, 1.5])
