"""Paired bootstrap, exact tests and corrections for multiple comparisons. Pure and seeded.

Notation
    d      [n]  one model's outcome minus another's on the same item
    w      [n]  weight of an item, mean 1; the statistic is mean(w d)
    strata [n]  what is fixed in every sample (benchmark and task): items are resampled within their stratum
    clusters [n]  items that share something (a passage): drawn or flipped together
With equal weights the statistic is the mean of d; with `macro_weights` it is the mean over benchmarks of the
mean within each. Items of one cluster are correlated, so n of them carry less information than n others.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CHUNK = 4_000_000  # numbers drawn at once: 32 MB


@dataclass(frozen=True)
class Design:
    """How the items of a row were sampled and weighted; every field [n], see the module's notation.

    Weights are equal within a stratum, and no cluster spans two strata. None: no items are clustered.
    """

    strata: Sequence[str]
    weights: Floats
    clusters: Sequence[str] | None = None

    def grouped(self, d: Floats) -> Floats:
        """w d summed over every cluster [units]: the independent units whose signs a test flips."""
        weighted: Floats = self.weights * d
        return weighted if self.clusters is None else _sums_by(weighted, self.clusters)


def mcnemar_exact(better: int, worse: int) -> float:
    """Two-sided p-value of the exact McNemar test.

    Under the null hypothesis, `better` of the `better + worse` discordant items is Binomial(1/2).
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
    Items with d = 0 change nothing and are dropped. No items left: 1.
    """
    d = np.asarray(differences, dtype=np.float64)
    # only the absolute values matter; sorted, so that the draws do not depend on the order of the items
    sizes = np.sort(np.abs(d[d != 0]))
    if sizes.size == 0:
        return 1.0
    # a flip whose sum equals the observed one up to rounding counts as equally extreme
    observed = abs(d.sum()) * (1 - 1e-9)
    if sizes.size < 31 and 2**sizes.size <= resamples:
        return float(np.mean(np.abs(_all_signs(sizes.size) @ sizes) >= observed))
    hits = sum(
        int(np.sum(np.abs(_flipped_sums(sizes, rows, rng)) >= observed))
        for rows in _chunks(resamples, sizes.size)
    )
    return (1 + hits) / (1 + resamples)


@dataclass(frozen=True)
class Bootstrapped:
    """Bootstrap interval and standard error of mean(w d)."""

    interval: tuple[float, float]
    error: float


def bootstrap(
    d: Floats, design: Design, confidence: float, resamples: int, rng: np.random.Generator
) -> Bootstrapped:
    """Resample clusters (items where there are none) within strata.

    Percentiles, expanded where items are few (see `expanded`). Independent of the items' order. No items:
    nan. One item, or all d equal within every stratum: the interval is the point itself, since the sample has
    no information on the spread; read it together with n.
    """
    if d.size == 0:
        return Bootstrapped((float("nan"), float("nan")), float("nan"))
    # resampled in the direction of a positive mean, so that swapping the models mirrors the interval exactly
    sign = -1.0 if np.mean(design.weights * d) < 0 else 1.0
    means = bootstrap_means(sign * d, design, resamples, rng)
    low, high = percentiles(means, expanded(confidence, design))
    return Bootstrapped((low, high) if sign > 0 else (-high, -low), float(np.std(means)))


def bootstrap_means(d: Floats, design: Design, resamples: int, rng: np.random.Generator) -> Floats:
    """mean(w d) of every resample [resamples]; a stratum keeps its weight even if clusters differ in size."""
    means = np.zeros(resamples)
    for here in places(design.strata):
        share = float(design.weights[here].sum()) / d.size
        units = cluster_units(d[here, None], design.clusters, here)
        sums = resampled_sums(units, resamples, rng)
        means += share * sums[:, 0] / sums[:, 1]
    return means


def bootstrap_ratios(
    parts: Floats, whole: Floats, design: Design, resamples: int, rng: np.random.Generator
) -> Floats:
    """sum(w parts) / sum(w whole) of every resample [resamples]; nan where the denominator is 0."""
    totals = np.zeros((resamples, 2))
    both = design.weights[:, None] * np.stack([parts, whole], axis=1)
    for here in places(design.strata):
        units = cluster_units(both[here], design.clusters, here)
        totals += resampled_sums(units, resamples, rng)[:, :2]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: Floats = np.where(totals[:, 1] > 0, totals[:, 0] / totals[:, 1], np.nan)
    return ratios


def expanded(confidence: float, design: Design) -> float:
    """The share of resamples between the bounds, so that an interval from few units has its nominal coverage.

    Percentile intervals are too narrow by sqrt((u - 1) / u), u the number of units, and because they use the
    normal instead of Student's quantile; Hesterberg's expanded percentile interval (Am. Stat. 69, 2015)
    corrects both. The degrees of freedom are u minus the number of strata.
    """
    from scipy.special import ndtr, stdtrit

    units = len(design.strata) if design.clusters is None else len(set(design.clusters))
    freedom = units - len(set(design.strata))
    if freedom < 1:
        return confidence
    quantile = float(stdtrit(freedom, (1 + confidence) / 2)) * (units / freedom) ** 0.5
    return 2 * float(ndtr(quantile)) - 1


def percentiles(values: Floats, confidence: float) -> tuple[float, float]:
    """The bounds that enclose this share of the values, with equal tails."""
    tail = (1 - confidence) / 2
    low, high = (float(q) for q in np.quantile(values, [tail, 1 - tail]))
    return low, high


def macro_weights(strata: Sequence[object], shares: Mapping[str, float] | None = None) -> Floats:
    """Weights w [n], mean 1, with mean(w d) = sum over strata of share x mean of d within the stratum.

    Without `shares` all strata have equal weight.
    """
    labels, inverse, counts = np.unique(
        np.asarray(strata, dtype=str), return_inverse=True, return_counts=True
    )
    given = [1 / len(labels) if shares is None else shares[str(label)] for label in labels]
    weights: Floats = len(inverse) * (np.asarray(given) / counts)[inverse]
    return weights


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the given order; controls family-wise error (Holm, Scand. J. Stat. 6, 1979)."""
    adjusted = [1.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the given order; controls the false discovery rate.

    Benjamini and Hochberg, J. R. Stat. Soc. B 57 (1995): p_(k) m / k, running minimum from the largest p.
    """
    adjusted = [1.0] * len(p_values)
    running = 1.0
    falling = sorted(range(len(p_values)), key=lambda i: -p_values[i])
    for passed, index in enumerate(falling):
        running = min(running, p_values[index] * len(p_values) / (len(p_values) - passed))
        adjusted[index] = running
    return adjusted


def places(strata: Sequence[str]) -> Iterator[NDArray[np.intp]]:
    """Indices of the items of each stratum, in the order of the strata's labels."""
    labels = np.asarray(strata, dtype=str)
    for label in np.unique(labels):
        yield np.flatnonzero(labels == label)


def cluster_units(columns: Floats, clusters: Sequence[str] | None, here: NDArray[np.intp]) -> Floats:
    """Independent units [units, c + 1] of a stratum: sums of the columns [n, c], and numbers of items.

    Sorted, so that the draws do not depend on the order of the items.
    """
    sized = np.column_stack([columns, np.ones(len(columns))])
    if clusters is not None:
        labels = np.asarray(clusters, dtype=str)[here]
        sized = np.stack([_sums_by(column, labels) for column in sized.T], axis=1)
    return sized[np.lexsort(sized.T)]


def resampled_sums(units: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    """Sums [resamples, c] over u units drawn with replacement from `units` [u, c].

    With few distinct units (right/wrong items), their counts are drawn from the multinomial distribution,
    which is equivalent to drawing item by item.
    """
    kinds, counts = np.unique(units, axis=0, return_counts=True)
    if len(kinds) <= 16:
        drawn = rng.multinomial(len(units), counts / len(units), size=resamples)
        return np.asarray(drawn @ kinds, dtype=np.float64)
    parts = [_drawn_sums(units, rows, rng) for rows in _chunks(resamples, len(units))]
    return np.concatenate(parts)


def _drawn_sums(units: Floats, rows: int, rng: np.random.Generator) -> Floats:
    """Sums [rows, c], drawn unit by unit; a constant column (the size of single items) needs no draw."""
    drawn = rng.integers(0, len(units), size=(rows, len(units)), dtype=np.int32)
    sums = [
        np.full(rows, len(column) * column[0]) if np.ptp(column) == 0 else column[drawn].sum(axis=1)
        for column in np.ascontiguousarray(units.T)
    ]
    return np.stack(sums, axis=1)


def _flipped_sums(sizes: Floats, rows: int, rng: np.random.Generator) -> Floats:
    """Sums [rows] of the sizes with random signs: twice the sum of a random subset, minus the total."""
    bits = rng.integers(0, 256, size=(rows, -(-sizes.size // 8)), dtype=np.uint8)
    kept = np.unpackbits(bits, axis=1, count=sizes.size).astype(np.float64)
    return np.asarray(2 * (kept @ sizes) - sizes.sum(), dtype=np.float64)


def _sums_by(values: Floats, labels: Sequence[str] | NDArray[np.str_]) -> Floats:
    """Sums of the values with the same label, in the order of the labels."""
    _, inverse = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    return np.bincount(inverse, weights=values).astype(np.float64)


def _all_signs(n: int) -> Floats:
    """All combinations of n signs, [2^n, n]."""
    bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    return np.asarray(2.0 * bits - 1.0, dtype=np.float64)


def _chunks(rows: int, width: int) -> Iterator[int]:
    """Sizes that sum to `rows`, each small enough that rows x width stays within CHUNK."""
    size = max(1, CHUNK // max(1, width))
    for start in range(0, rows, size):
        yield min(size, rows - start)
