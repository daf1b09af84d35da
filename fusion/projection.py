"""Projection of a source's distributions onto the target's vocabulary and rows.

R_s, R_t   rows of a source and of the target        K   entries of a row, padded with -1
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion.choices import DEFAULT_DUPLICATES, Duplicates, NextToken
from fusion.errors import FusionError, one_of
from fusion.next_token import Continuation, follow_text
from fusion.vocabulary import VocabularyMap

if TYPE_CHECKING:
    from fusion.distributions import Distributions

_LAST = np.iinfo(np.int32).max  # sorts padding after all entries
_CHUNK = 1 << 16  # rows merged at a time, to limit the memory for sorting


class Projected(NamedTuple):
    """Sparse distributions over the target's vocabulary; each row's probabilities and leftover add up to one.

    Ids within a row are distinct, most likely first, padded with -1; `leftover` is the total probability of
    tokens that are not listed. A target row without a source row has no entries and leftover 1.
    """

    ids: NDArray[np.int32]  # [R_t, K]
    probabilities: NDArray[np.float32]  # [R_t, K]
    leftover: NDArray[np.float32]  # [R_t]

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Whether each row [R_t] has any entry."""
        return np.asarray((self.ids >= 0).any(-1))


def project(
    ids: NDArray[Any],
    logprobs: NDArray[Any],
    leftover: NDArray[Any],
    rows: NDArray[np.int32],
    vocabulary_map: VocabularyMap,
    *,
    continuation: Continuation | None = None,
    duplicates: Duplicates = DEFAULT_DUPLICATES,
) -> Projected:
    """Project a source's distributions: its `rows` [R_t] (-1: none), with tokens mapped to target tokens.

    ids, logprobs [R_s, K] and leftover [R_s] are as stored; each row is scaled to add up to one, which half
    precision does not quite do. The probability of tokens that are not mapped is added to the leftover.

    continuation: where the map does not send the source's next token to the target's, gives the target's next
        token the probability that the source gave to its bytes, as one more entry: [R_t, K + 1].
    duplicates: "add" adds source tokens that map to the same target token; "first" keeps the most likely of
        them and drops the rest, as the released code does.
    """
    one_of("duplicates", duplicates, Duplicates)
    taught = rows >= 0
    if not len(ids):
        ids, logprobs, leftover = (np.zeros((1, *a.shape[1:]), a.dtype) for a in (ids, logprobs, leftover))
    picked = np.maximum(rows, 0)
    probabilities = np.exp(logprobs[picked].astype(np.float64))
    mass = probabilities.sum(-1) + leftover[picked]
    probabilities /= np.maximum(mass, 1e-30)[:, None]
    source_ids = ids[picked].astype(np.int64)
    _check_map(source_ids, vocabulary_map)
    mapped = np.where(taught[:, None], vocabulary_map.target_ids[source_ids], -1).astype(np.int32)
    if duplicates == "first":
        mapped = first_of_equals(mapped)
    if continuation is not None:
        mapped, probabilities = _moved(source_ids, mapped, probabilities, vocabulary_map, continuation)
    return merge_entries(mapped, probabilities)


def project_block(
    target: "Distributions",
    source: "Distributions",
    rows: NDArray[np.int32],
    vocabulary_map: VocabularyMap,
    *,
    next_token: NextToken,
    duplicates: Duplicates,
) -> Projected:
    """Project a block of a source onto the target's rows; `rows` [R_t] are counted within the block.

    next_token: with "text", the target's next token gets the probability that the source gave to its bytes.
    """
    return project(
        source.ids,
        source.logprobs,
        source.leftover,
        rows,
        vocabulary_map,
        continuation=follow_text(target, source, rows) if next_token == "text" else None,
        duplicates=duplicates,
    )


def _check_map(source_ids: NDArray[np.int64], vocabulary_map: VocabularyMap) -> None:
    known, largest = len(vocabulary_map.target_ids), int(source_ids.max(initial=-1))
    if largest >= known:
        raise FusionError(
            f"the vocabulary map has {known} source tokens, but the distributions contain token {largest}",
            remedy="map from the source to the target, with tables as wide as the source model's logits",
        )


def _moved(
    source_ids: NDArray[np.int64],
    mapped: NDArray[np.int32],
    probabilities: NDArray[np.float64],
    vocabulary_map: VocabularyMap,
    continuation: Continuation,
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Entries [R, K + 1] with the continuation's probability moved to the target's next token."""
    c = continuation
    elsewhere = (c.probability > 0) & (vocabulary_map.target_ids[c.source_token] != c.target_token)
    own = source_ids == c.source_token[:, None]  # at most once per row; none if it is not in the top k
    rest = 1.0 - probabilities.sum(-1)
    there = np.where(own.any(-1), (own * probabilities).sum(-1), np.maximum(rest, 0.0))
    amount = np.where(elsewhere, np.minimum(c.probability, there), 0.0)  # at most what is stored
    kept = probabilities - own * amount[:, None]
    token = np.where(elsewhere, c.target_token, -1).astype(np.int32)
    return np.concatenate([mapped, token[:, None]], 1), np.concatenate([kept, amount[:, None]], 1)


def first_of_equals(ids: NDArray[np.int32]) -> NDArray[np.int32]:
    """Ids [R, K] with -1 in place of repetitions of an earlier id of the row."""
    out = ids.copy()
    for column in range(1, ids.shape[1]):
        repeated = (ids[:, :column] == ids[:, column, None]).any(-1)
        out[repeated, column] = -1
    return out


def merge_entries(ids: NDArray[np.int32], probabilities: NDArray[np.floating[Any]]) -> Projected:
    """Merge entries [R, K] with the same id by adding them; entries with id -1 go to the leftover.

    Each row's probabilities must add up to at most one.
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
