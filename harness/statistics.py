"""Paired statistics over items: tests, intervals, correction for many comparisons. Pure and seeded.

Notation: d [n] = one model's outcome minus another's on the same item; strata [n] = the benchmark of an item.
The statistic is the mean of d or, with strata, the mean over strata of the mean within each (macro mean).
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CHUNK = 4_000_000  # numbers drawn at once: 32 MB


def mcnemar_exact(better: int, worse: int) -> float:
    """Two-sided p-value of the exact McNemar test.

    Without an effect, `better` of the `better + worse` discordant items is Binomial(1/2).
    McNemar, Psychometrika 12 (1947), in its exact form. No discordant items: 1.
    """
    from scipy.special import bdtr  # the binomial distribution function; scipy.stats takes seconds to import

    return min(1.0, 2 * float(bdtr(min(better, worse), better + worse, 0.5)))


def paired_permutation(
    differences: Sequence[float] | Floats, resamples: int, rng: np.random.Generator
) -> float:
    """Two-sided p-value of the sign-flip permutation test of mean(d) = 0.

    Exact (all 2^n flips) where that needs no more than `resamples`; else Monte Carlo with the observed flip
    counted, (1 + hits) / (1 + resamples), so never below 1 / (1 + resamples) (Phipson and Smyth, 2010).
    Items with d = 0 change nothing and are dropped. Nothing left: 1.
    """
    d = np.asarray(differences, dtype=np.float64)
    # flips depend on the sizes alone; sorted, so that the draws do not depend on the order of the items
    sizes = np.sort(np.abs(d[d != 0]))
    if sizes.size == 0:
        return 1.0
    # a flip whose sum equals the observed one up to rounding counts as equally extreme
    observed = abs(d.sum()) * (1 - 1e-9)
    if sizes.size < 31 and 2**sizes.size <= resamples:
        return float(np.mean(np.abs(_all_signs(sizes.size) @ sizes) >= observed))
    hits = sum(
        int(np.sum(np.abs((2.0 * rng.integers(0, 2, size=(rows, sizes.size)) - 1.0) @ sizes) >= observed))
        for rows in _chunks(resamples, sizes.size)
    )
    return (1 + hits) / (1 + resamples)


def paired_bootstrap_interval(
    differences: Sequence[float] | Floats,
    confidence: float,
    resamples: int,
    rng: np.random.Generator,
    strata: Sequence[object] | None = None,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of d (with `strata`: the macro mean, resampled within each).

    Independent of the items' order. No items: (nan, nan). One item, or all d equal within every stratum: the
    interval is the point itself, since nothing in the sample speaks of spread; read it beside n.
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.size == 0:
        return float("nan"), float("nan")
    # resampled in the direction of a positive mean, so that swapping the models mirrors the interval exactly
    sign = -1.0 if d.mean() < 0 else 1.0
    groups = _groups(sign * d, strata)
    means = np.mean([_bootstrap_means(group, resamples, rng) for group in groups], axis=0)
    tail = (1 - confidence) / 2
    low, high = (float(q) for q in np.quantile(means, [tail, 1 - tail]))
    return (low, high) if sign > 0 else (-high, -low)


def macro_weights(strata: Sequence[object]) -> Floats:
    """Weights w [n], mean 1, with mean(w * d) = mean over strata of the mean of d within each."""
    _, inverse, counts = np.unique(np.asarray(strata, dtype=str), return_inverse=True, return_counts=True)
    weights: Floats = len(inverse) / (len(counts) * counts[inverse])
    return weights


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the given order; keeps the family-wise error (Holm, Scand. J. Stat. 6, 1979)."""
    adjusted = [1.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def _groups(d: Floats, strata: Sequence[object] | None) -> list[Floats]:
    """d by stratum, each sorted, so that the draws do not depend on the order of the items."""
    if strata is None:
        return [np.sort(d)]
    labels = np.asarray(strata, dtype=str)
    return [np.sort(d[labels == label]) for label in np.unique(labels)]


def _bootstrap_means(d: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    """Means [resamples] of samples of d with replacement.

    Right/wrong items take few values; how often each is drawn is then multinomial, the same distribution
    without drawing item by item.
    """
    values, counts = np.unique(d, return_counts=True)
    if len(values) <= 16:
        drawn = rng.multinomial(d.size, counts / d.size, size=resamples)
        return np.asarray(drawn @ values / d.size, dtype=np.float64)
    parts = [
        d[rng.integers(0, d.size, size=(rows, d.size))].mean(axis=1) for rows in _chunks(resamples, d.size)
    ]
    return np.concatenate(parts)


def _all_signs(n: int) -> Floats:
    """Every row of signs, [2^n, n]."""
    bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    return np.asarray(2.0 * bits - 1.0, dtype=np.float64)


def _chunks(rows: int, width: int) -> Iterator[int]:
    """Sizes that sum to `rows`, each small enough that rows x width stays within CHUNK."""
    size = max(1, CHUNK // max(1, width))
    for start in range(0, rows, size):
        yield min(size, rows - start)
