"""Interval and test of a difference over several trainings, with the variance between random seeds.

Notation
    d_SN   [S, n]  differences of training s on item i: mu + a_s + b_i + e_si, all centred and independent
    D_s    [S]     mean(w d_s); D their mean, the estimate of mu
    V_s            variance of the D_s / S:        (var a + var e / n) / S
    V_i            variance of mean(w mean_s d):   var b / n + var e / (S n)
D has variance var a / S + var b / n + var e / (S n); V_s + V_i counts the last term twice, which is
conservative. A few trainings estimate V_s poorly: they may agree by chance. The critical value is therefore
Cochran and Cox's (Experimental Designs, 1957, 4.14), the mean of Student's for S - 1 and for the items'
degrees of freedom, weighted by V_s and V_i. Satterthwaite's degrees of freedom raise false alarms in 11 % of
comparisons of two trainings instead of 5 %; resampling so few trainings does no better.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

import numpy as np

from harness.comparison.statistics import Design, Floats, cluster_units, places

SMALLEST_P = 1e-100  # below, scipy's quantiles lose their sign for some degrees of freedom
Parts = Sequence[tuple[float, int]]  # (variance, degrees of freedom)


@dataclass(frozen=True)
class Estimate:
    """A mean difference with interval, two-sided p-value and standard error, in the row's unit.

    `between` is the standard deviation of the difference between trainings.
    """

    interval: tuple[float, float]
    p_value: float
    error: float
    between: float


def over_trainings(d: Floats, design: Design, confidence: float) -> Estimate:
    """Estimate from differences d_SN [S >= 2, n]. Without any spread: the point, and a p-value of 1."""
    by_training = (d * design.weights).mean(axis=1)
    mean, between = float(by_training.mean()), float(by_training.std(ddof=1))
    of_trainings = between**2 / len(d)
    of_items, freedom = item_variance(d.mean(axis=0), design)
    if of_trainings + of_items <= 0:
        return Estimate((mean, mean), 1.0, 0.0, between)
    parts = ((of_trainings, len(d) - 1), (of_items, max(freedom, 1)))
    error = float(np.sqrt(of_trainings + of_items))
    half = critical_value(1 - confidence, parts) * error
    return Estimate((mean - half, mean + half), _p_value(abs(mean) / error, parts), error, between)


def critical_value(alpha: float, parts: Parts) -> float:
    """Student's two-sided critical values at `alpha`, weighted by their variances."""
    from scipy.special import stdtrit

    total = sum(variance for variance, _ in parts)
    return sum(variance / total * -float(stdtrit(degrees, alpha / 2)) for variance, degrees in parts)


def _p_value(ratio: float, parts: Parts) -> float:
    """The level, at least SMALLEST_P, whose critical value equals this ratio of difference to error."""
    from scipy.optimize import brentq

    def beyond(exponent: float) -> float:
        return critical_value(10**exponent, parts) - ratio

    lowest = log10(SMALLEST_P)
    if ratio == 0:
        return 1.0
    return float(10 ** brentq(beyond, lowest, 0.0)) if beyond(lowest) > 0 else SMALLEST_P


def item_variance(d: Floats, design: Design) -> tuple[float, int]:
    """(variance of mean(w d) over samples of items, degrees of freedom).

    The variance of each stratum's mean as a ratio of sums over its clusters (Cochran, Sampling Techniques,
    1977, 6.3), times the square of the stratum's weight. A stratum of one unit adds nothing, as its spread is
    unknown.
    """
    variance, freedom = 0.0, 0
    for here in places(design.strata):
        share = float(design.weights[here].sum()) / d.size
        sums, sizes = cluster_units(d[here, None], design.clusters, here).T
        if len(sums) > 1:
            residuals = sums - sizes * (sums.sum() / sizes.sum())
            spread = len(sums) / (len(sums) - 1) * float(np.sum(residuals**2))
            variance += (share / float(sizes.sum())) ** 2 * spread
            freedom += len(sums) - 1
    return variance, freedom
