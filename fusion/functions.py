"""Fusion functions, MinCE and AvgCE: several models' distributions at each target row become one.

    M   models, the target itself first          G   groups (documents or windows)          W   windows
    R   rows of the target                       K   entries of a row

Both compare models by their *quality*, how well they predict the text (lower is better): bits per byte, which
is comparable between tokenizers, or the paper's cross-entropy per token, which favours tokenizers with short
tokens.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion.choices import DEFAULT_AVGCE_WEIGHTS, AvgceWeights, Quality
from fusion.distributions import Distributions, WindowScores, unwritten_nats
from fusion.errors import FusionError, one_of
from fusion.projection import Projected, merge_entries


class Fused(NamedTuple):
    """Fused rows: one distribution per target row, and which models it came from."""

    distribution: Projected
    winner: NDArray[np.int8]  # [R] model with the largest weight, -1 where no model has a row
    share: NDArray[np.float64]  # [M] mean weight over kept rows (MinCE: fraction won); adds up to 1, or is 0


def group_quality(scores: WindowScores, groups: NDArray[np.int64], quality: Quality) -> NDArray[np.float64]:
    """Quality [G] of one model over the windows of each group; infinite for a group with nothing scored.

    It is a ratio of sums over the group's windows, not a mean of ratios. `groups` [W] is each window's group,
    counted from 0: its document, or the window itself.
    """
    one_of("quality", quality, Quality)
    units = scores.bytes * np.log(2.0) if quality == "bits_per_byte" else scores.tokens
    size = int(groups.max(initial=-1)) + 1
    return _ratio(np.bincount(groups, scores.nll, size), np.bincount(groups, units, size))


def token_quality(
    distributions: Distributions, rows: NDArray[np.int32], quality: Quality, *, unknown: int | None = None
) -> NDArray[np.float64]:
    """Quality [R] of one model at each target row, from its next token there; infinite without a row.

    rows [R] are the model's aligned rows over the whole corpus, -1 for none. A token without bytes (eos)
    counts as one byte; an `unknown` token costs extra for the bytes it replaces, as in `window_nll`.
    """
    one_of("quality", quality, Quality)
    d = distributions
    token = d.last_read
    read = np.maximum(d.ends[token + 1] - d.ends[token], 1) if len(token) else np.zeros(0, np.int32)
    units = read * np.log(2.0) if quality == "bits_per_byte" else np.ones(len(token))
    per_row = np.append((unwritten_nats(d, unknown) - d.gold_logprob) / units, np.inf)
    return np.asarray(per_row[rows], np.float64)  # -1 takes the infinity at the end


def mince(models: Sequence[Projected], quality: NDArray[np.float64]) -> Fused:
    """MinCE (Wan et al. 2024, section 3.2): each row is copied from the model with the lowest quality [M, R].

    With qualities that are constant over a document, one model is chosen per document. Ties go to the first
    model. Where the chosen model has no row, the fused row is empty, even if another model has one.
    """
    _check(models, quality)
    best = np.argmin(_known(quality), axis=0)
    width = max(m.ids.shape[1] for m in models)
    count = len(best)
    fused = Projected(
        np.full((count, width), -1, np.int32),
        np.zeros((count, width), np.float32),
        np.ones(count, np.float32),
    )
    for number, model in enumerate(models):
        won = np.flatnonzero(best == number)
        k = model.ids.shape[1]
        fused.ids[won, :k] = model.ids[won]
        fused.probabilities[won, :k] = model.probabilities[won]
        fused.leftover[won] = model.leftover[won]
    winner = np.where(fused.kept, best, -1).astype(np.int8)
    share = np.bincount(winner[winner >= 0], minlength=len(models)) / max(int(fused.kept.sum()), 1)
    return Fused(fused, winner, share)


def avgce(
    models: Sequence[Projected],
    quality: NDArray[np.float64],
    *,
    weights: AvgceWeights = DEFAULT_AVGCE_WEIGHTS,
) -> Fused:
    """AvgCE (Wan et al. 2024, section 3.2): mean of the models' distributions, weighted by softmax(-quality).

    The mean of each row is over the models that have one there; quality is [M, R]. A fused row has room for
    all entries of all models: its K is the sum of theirs.

    weights: "release" is softmax(exp(-quality)), as the released code computes it. It hardly distinguishes
        models: exp(-quality) is between 0 and 1, so no weight is more than e times another.
    """
    one_of("weights", weights, AvgceWeights)
    _check(models, quality)
    scores = -_known(quality) if weights == "softmax" else np.exp(-_known(quality))
    shares = _softmax(scores, np.stack([m.kept for m in models]))
    ids = np.concatenate(
        [np.where(w[:, None] > 0, m.ids, -1) for m, w in zip(models, shares, strict=True)], axis=1
    )
    parts = [w[:, None] * m.probabilities for m, w in zip(models, shares, strict=True)]
    fused = merge_entries(ids, np.concatenate(parts, axis=1))
    kept = shares.sum(0) > 0
    winner = np.where(kept, shares.argmax(0), -1).astype(np.int8)
    return Fused(fused, winner, shares.sum(1) / max(int(kept.sum()), 1))


def _check(models: Sequence[Projected], quality: NDArray[np.float64]) -> None:
    counts = {len(m.ids) for m in models}
    if not models or len(counts) != 1 or quality.shape != (len(models), *counts):
        raise FusionError(
            f"{len(models)} models with {sorted(counts)} rows do not fit qualities of shape {quality.shape}",
            remedy="project every model onto the same target rows",
        )


def _known(quality: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quality with infinity, the worst value, in place of nan."""
    return np.where(np.isnan(quality), np.inf, quality)


def _softmax(scores: NDArray[np.float64], present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Softmax [M, R] over the models present in each row; 0 for all others."""
    masked = np.where(present, scores, -np.inf)
    top = masked.max(0)
    raised = np.exp(masked - np.where(np.isfinite(top), top, 0.0))
    total = raised.sum(0)
    return np.asarray(raised / np.where(total > 0, total, 1.0))


def _ratio(sums: NDArray[Any], units: NDArray[Any]) -> NDArray[np.float64]:
    """Sums per unit; infinite where there are no units."""
    return np.where(units > 0, sums / np.where(units > 0, units, 1.0), np.inf)
