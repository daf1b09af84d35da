"""Minimum detectable effect and power of paired tests, exact for McNemar's test.

Notation
    n      items that both models answer
    delta  true difference of their shares of right answers, in [0, 1]
    d      share of discordant items (one model right, the other wrong); never below delta
    m      discordant items in a sample, m ~ Binomial(n, d)
    b      of these, items where the better model is right, b ~ Binomial(m, (d + delta) / (2 d))

A difference is detected where the test's two-sided p-value is below alpha = 1 - confidence and the better
model is ahead. Power is summed exactly over m up to EXACT_ITEMS items; above, Connor's normal approximation
(Biometrics 43, 1987) is used. Fewer than 6 items can never be significant at alpha 0.05: if all m discordant
items favour the same model, p = 2 / 2^m, and 2 / 2^5 is 0.0625.
"""

from math import sqrt
from statistics import NormalDist

from harness.comparison.statistics import Floats

# Two independent models with 50 % accuracy differ on 0.5 of the items; a model and one trained from it differ
# on far fewer. The minimum detectable effect grows with the square root of this share.
DISCORDANT = 0.2
POWER = 0.8  # the usual power
EXACT_ITEMS = 20_000  # above, exact and approximate results differ by less than 0.01 percentage points
_NEGLIGIBLE = 1e-12  # probability of the values of m left out on either side


def smallest_difference(
    n: int, *, alpha: float = 0.05, power: float = POWER, discordant: float = DISCORDANT
) -> float | None:
    """Minimum detectable effect: the smallest delta detected with this power on n items; None if not even 1.

    `discordant` is d; where delta is larger, d = delta.
    """
    from scipy.optimize import brentq

    def lacking(delta: float) -> float:
        return power_to_find(delta, n, alpha=alpha, discordant=discordant) - power

    if n < 1 or lacking(1.0) < 0:
        return None
    return float(brentq(lacking, 0.0, 1.0, xtol=1e-6))


def power_to_find(delta: float, n: int, *, alpha: float = 0.05, discordant: float = DISCORDANT) -> float:
    """Probability that n items detect a true difference delta; exact up to EXACT_ITEMS, else approximate."""
    d = max(discordant, delta)
    return exact_power(delta, n, d, alpha) if n <= EXACT_ITEMS else normal_power(delta, n, d, alpha)


def exact_power(delta: float, n: int, d: float, alpha: float) -> float:
    """Sum over m of P(m) P(b >= m - c(m)), with c(m) from `critical_counts`."""
    import numpy as np
    from scipy.stats import binom

    m = np.arange(*_likely(n, d), dtype=np.float64)
    fewer = critical_counts(m, alpha)
    found = binom.sf(m - fewer - 1, m, (d + delta) / (2 * d))
    return float(np.sum(binom.pmf(m, n, d) * np.where(fewer < 0, 0.0, found)))


def critical_counts(m: Floats, alpha: float) -> Floats:
    """For each m the largest k with 2 P(Binomial(m, 1/2) <= k) < alpha; -1 where there is none."""
    from scipy.stats import binom

    counts: Floats = binom.ppf(alpha / 2, m, 0.5) - 1
    return counts


def normal_power(delta: float, n: int, d: float, alpha: float) -> float:
    """Connor's approximation: 2 b - m has mean n delta, variance n (d - delta^2), and n d if delta = 0."""
    spread = sqrt(max(d - delta**2, 0.0))
    ahead = delta * sqrt(n) - _z(1 - alpha / 2) * sqrt(d)
    return NormalDist().cdf(ahead / spread) if spread else float(ahead > 0)


def difference_beyond_spread(error: float, *, alpha: float = 0.05, power: float = POWER) -> float | None:
    """Minimum detectable effect of a test of a mean, in the unit of its standard error.

    (z_(1 - alpha/2) + z_power) x error, since the mean of many items is nearly normal; 2.8 errors by default.
    None for an error of 0: the sample has no information on the spread.
    """
    return (_z(1 - alpha / 2) + _z(power)) * error if error > 0 else None


def equivalent_items(sizes: list[int]) -> int:
    """Number of items of one benchmark that is as precise as the macro mean over benchmarks of these sizes.

    The mean over K benchmarks of their mean differences has variance (d / K^2) sum(1 / n_k), that of one
    benchmark d / n: n = K^2 / sum(1 / n_k), rounded down. Equal sizes give their sum; unequal ones give less.
    """
    return int(len(sizes) ** 2 / sum(1 / n for n in sizes) + 1e-9) if sizes and all(sizes) else 0


def _likely(n: int, d: float) -> tuple[int, int]:
    """Range of m, end excluded, outside of which the probability is negligible."""
    from scipy.stats import binom

    return int(binom.ppf(_NEGLIGIBLE, n, d)), int(binom.isf(_NEGLIGIBLE, n, d)) + 1


def _z(probability: float) -> float:
    return NormalDist().inv_cdf(probability)
