"""Alignment and projection as in the authors' released code (Wan et al. 2024), for comparison only.

    S_t, S_s   tokens of a window as target and source read it        K   entries of a row, -1 for none

Differences from `fusion.alignment` and `fusion.projection`: tokens are compared by their tokenizers'
spelling; a source token may match several target tokens; special tokens are treated as text; of several
source tokens that map to one target token only the first is kept; kept entries are scaled to add up to one;
and a position without alignment learns the *current* token, although row t predicts the token after it.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion.alignment import Rows, edit_path
from fusion.projection import first_of_equals
from fusion.spelling import Spellings
from fusion.vocabulary import VocabularyMap


class ReleasedRows(NamedTuple):
    """Top-k logits of a source at the target's tokens, in the source's order.

    `ids` int32 and `logits` float64 [S_t, K]: entries first, then padding of -1 and 0. `aligned` bool [S_t]
    is False for rows that have only the current token, with logit 1.
    """

    ids: NDArray[np.int32]
    logits: NDArray[np.float64]
    aligned: NDArray[np.bool_]

    def probabilities(self, temperature: float = 1.0) -> NDArray[np.float32]:
        """Softmax over the entries of each row [S_t, K]; all zero for rows without entries."""
        present = self.ids >= 0
        scaled = np.where(present, self.logits / temperature, -np.inf)
        top = np.max(scaled, axis=-1, keepdims=True, initial=-np.inf)
        powers = np.where(present, np.exp(scaled - np.where(np.isfinite(top), top, 0.0)), 0.0)
        return np.asarray(powers / np.maximum(powers.sum(-1, keepdims=True), 1e-300), np.float32)

    def leftover(self) -> NDArray[np.float32]:
        """Probability of tokens that are not listed [S_t]: 0, or 1 for rows without entries."""
        return np.asarray((self.ids < 0).all(-1), np.float32)


def align_release(
    target_ids: NDArray[np.int32],
    source_ids: NDArray[np.int32],
    target: Spellings,
    source: Spellings,
    source_map: VocabularyMap | None,
) -> Rows:
    """Align rows: the source row for each target row, int32 [S_t - 1], -1 for none, as in `align_em`.

    Ids are of whole windows. With a vocabulary map (from `map_spelling`), also where it sends the source
    token to the target token.
    """
    rows = match_tokens(target_ids, source_ids, target, source, source_map)[:-1]
    return np.where(rows < len(source_ids) - 1, rows, -1).astype(np.int32)


def match_tokens(
    target_ids: NDArray[np.int32],
    source_ids: NDArray[np.int32],
    target: Spellings,
    source: Spellings,
    source_map: VocabularyMap | None,
) -> Rows:
    """The only source token that matches each target token on the cheapest path, int32 [S_t].

    -1 if several match, or if the two tokens are neither mapped nor spelled the same apart from the marker
    for a space. The path's costs are edit distances of the spellings without these markers.
    """
    if source_map is not None:
        source_map.check(len(source.pieces), len(target.pieces))
    path, _ = edit_path([source.bare(i) for i in source_ids], [target.bare(i) for i in target_ids])
    rows = np.full(len(target_ids), -1, np.int32)
    if not len(path):
        return rows
    rows[path[:, 1]] = path[:, 0]
    met = np.flatnonzero(np.bincount(path[:, 1], minlength=len(rows)) == 1)
    agree = _agree(target_ids[met], source_ids[rows[met]], target, source, source_map)
    out = np.full(len(target_ids), -1, np.int32)
    out[met[agree]] = rows[met[agree]]
    return out


def transform_logits(
    target_ids: NDArray[np.int32],
    rows: Rows,
    indices: NDArray[Any],
    logits: NDArray[Any],
    source_map: VocabularyMap,
) -> ReleasedRows:
    """Project a source's top-k `logits` of tokens `indices` [S_s, K] onto the target's tokens [S_t].

    `rows` [S_t] is from `match_tokens`; `source_map` is `map_same_spelling` ("hard") or `map_spelling`
    ("soft"). Entries that map to no target token are dropped; of several that map to the same one, the first
    is kept.
    """
    aligned = rows >= 0
    picked = rows[aligned]
    ids = np.full((len(rows), max(indices.shape[1], 1)), -1, np.int32)
    out = np.zeros(ids.shape, np.float64)
    ids[:, 0], out[:, 0] = target_ids, 1.0
    ids[aligned], out[aligned] = _first_kept(source_map.target_ids[indices[picked]], logits[picked])
    return ReleasedRows(ids, out, aligned)


def _agree(
    target_ids: NDArray[np.int32],
    source_ids: NDArray[np.int32],
    target: Spellings,
    source: Spellings,
    source_map: VocabularyMap | None,
) -> NDArray[np.bool_]:
    """Which pairs of tokens the released code treats as the same."""
    alike = [
        source.respell(s, target) == target.pieces[t]
        for t, s in zip(target_ids.tolist(), source_ids.tolist(), strict=True)
    ]
    mapped = False if source_map is None else source_map.target_ids[source_ids] == target_ids
    return np.array(alike, bool) | mapped


def _first_kept(
    ids: NDArray[np.int32], logits: NDArray[Any]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Entries [R, K] without those of id -1 or an earlier entry's id; what is kept moves to the front."""
    dropped = first_of_equals(ids) < 0
    order = np.argsort(dropped, axis=-1, kind="stable")
    gone = np.take_along_axis(dropped, order, -1)
    front, values = np.take_along_axis(ids, order, -1), np.take_along_axis(logits, order, -1)
    return np.where(gone, -1, front).astype(np.int32), np.where(gone, 0.0, values.astype(np.float64))
