"""A source's stored distributions, spoken in the target's vocabulary at the target's rows.

R_s, R_t   rows of a source and of the target        K   entries of a row, -1 where there is none
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion.vocabulary import VocabularyMap

_LAST = np.iinfo(np.int32).max  # sorts entries that are none behind all others
_CHUNK = 1 << 16  # rows merged at a time, which bounds the memory for sorting


class Projected(NamedTuple):
    """Sparse distributions over the target's vocabulary; each row's probabilities and leftover add up to one.

    Ids within a row differ, likeliest first, -1 where there is no entry; `leftover` is the probability of all
    tokens that are not listed. A row without teacher has no entry and leftover 1.
    """

    ids: NDArray[np.int32]  # [R_t, K]
    probabilities: NDArray[np.float32]  # [R_t, K]
    leftover: NDArray[np.float32]  # [R_t]

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Rows [R_t] that say anything."""
        return np.asarray((self.ids >= 0).any(-1))


def project(
    ids: NDArray[Any],
    logprobs: NDArray[Any],
    leftover: NDArray[Any],
    rows: NDArray[np.int32],
    vocabulary_map: VocabularyMap,
) -> Projected:
    """Rows [R_t] of a source (or -1), with tokens taken through the vocabulary map.

    Source tokens that become the same target token are added; the mass of tokens without one joins the
    leftover. ids, logprobs [R_s, K] and leftover [R_s] are as stored; their sum, not quite one in half
    precision, is made so.
    """
    taught = rows >= 0
    if not len(ids):
        ids, logprobs, leftover = (np.zeros((1, *a.shape[1:]), a.dtype) for a in (ids, logprobs, leftover))
    picked = np.maximum(rows, 0)
    probabilities = np.exp(logprobs[picked].astype(np.float64))
    mass = probabilities.sum(-1) + leftover[picked]
    probabilities /= np.maximum(mass, 1e-30)[:, None]
    mapped = vocabulary_map.target_ids[ids[picked].astype(np.int64)]
    return merge_entries(np.where(taught[:, None], mapped, -1).astype(np.int32), probabilities)


def merge_entries(ids: NDArray[np.int32], probabilities: NDArray[np.floating[Any]]) -> Projected:
    """Add entries [R, K] that have the same id; entries with id -1 are dropped into the leftover.

    Each row's probabilities add up to one at most.
    """
    parts = [slice(start, start + _CHUNK) for start in range(0, max(len(ids), 1), _CHUNK)]
    merged = [_merge(ids[part], probabilities[part]) for part in parts]
    return Projected(*(np.concatenate(field) for field in zip(*merged, strict=True)))


def _merge(ids: NDArray[np.int32], probabilities: NDArray[np.floating[Any]]) -> Projected:
    count, width = ids.shape
    keys = np.where(ids >= 0, ids, _LAST)
    order = np.argsort(keys, axis=-1, kind="stable")
    keys = np.take_along_axis(keys, order, -1)
    values = np.where(keys < _LAST, np.take_along_axis(probabilities, order, -1), 0.0)
    starts = np.ones_like(keys, bool)
    starts[:, 1:] = keys[:, 1:] != keys[:, :-1]
    place = np.cumsum(starts, axis=-1) - 1 + width * np.arange(count)[:, None]
    sums = np.bincount(place.ravel(), values.ravel(), count * width).reshape(count, width).astype(np.float64)
    merged = np.full(count * width, -1, np.int32)
    merged[place.ravel()] = np.where(keys < _LAST, keys, -1).ravel()
    return _likeliest_first(merged.reshape(count, width), sums)


def _likeliest_first(ids: NDArray[np.int32], sums: NDArray[np.float64]) -> Projected:
    order = np.argsort(np.where(ids >= 0, -sums, 1.0), axis=-1, kind="stable")
    leftover = np.clip(1.0 - sums.sum(-1), 0.0, 1.0)
    return Projected(
        np.take_along_axis(ids, order, -1),
        np.take_along_axis(sums, order, -1).astype(np.float32),
        leftover.astype(np.float32),
    )
