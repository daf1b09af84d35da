"""What the authors' released code computes (Wan et al. 2024), for whoever must compare with it. Not for use.

    S_t, S_s   tokens of a window as target and source read it        K   entries of a row, -1 for none

Tokens are compared by their tokenizers' spelling. It differs from `fusion.alignment` in more than that: a
token of the source may meet several of the target's; special tokens are text; of several source tokens that
become one target token the first is kept and the rest dropped; kept entries are made to add up to one; and
where nothing is aligned the *current* token is taught, although row t predicts the token after it.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion.alignment import Rows, edit_path
from fusion.projection import first_of_equals
from fusion.spelling import Spellings
from fusion.vocabulary import VocabularyMap


class ReleasedRows(NamedTuple):
    """Top-k logits of a source at the target's tokens, in the order in which the source has them.

    `ids` int32 and `logits` float64 [S_t, K]: entry first, -1 and 0 behind. `aligned` bool [S_t] is False on
    rows that hold only the current token, at logit 1.
    """

    ids: NDArray[np.int32]
    logits: NDArray[np.float64]
    aligned: NDArray[np.bool_]

    def probabilities(self, temperature: float = 1.0) -> NDArray[np.float32]:
        """Softmax over the entries of each row, [S_t, K]: nothing is left over but on rows without entry."""
        present = self.ids >= 0
        scaled = np.where(present, self.logits / temperature, -np.inf)
        top = np.max(scaled, axis=-1, keepdims=True, initial=-np.inf)
        powers = np.where(present, np.exp(scaled - np.where(np.isfinite(top), top, 0.0)), 0.0)
        return np.asarray(powers / np.maximum(powers.sum(-1, keepdims=True), 1e-300), np.float32)

    def leftover(self) -> NDArray[np.float32]:
        """Probability of tokens that are not listed, [S_t]: 0, or 1 on rows without entry."""
        return np.asarray((self.ids < 0).all(-1), np.float32)


def align_release(
    target_ids: NDArray[np.int32],
    source_ids: NDArray[np.int32],
    target: Spellings,
    source: Spellings,
    source_map: VocabularyMap | None,
) -> Rows:
    """The source's row for each row of the target, int32 [S_t - 1], -1 for none, as `align_em` gives them.

    Ids are whole windows. With a vocabulary map (from `map_spelling`) also where it takes the source's token
    to the target's.
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
    """The one source token that meets each target token on the cheapest path, int32 [S_t].

    -1 where several do, and where the two are neither spelled alike but for the space's mark nor mapped. The
    path's costs are edits of the spelling without these marks.
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
    """A source's top-k `logits` of tokens `indices` [S_s, K] at the target's tokens `target_ids` [S_t].

    `rows` [S_t] is from `match_tokens`; `source_map` is `map_same_spelling` ("hard") or `map_spelling`
    ("soft"). Entries without a target token are dropped, and of those that become the same the first is kept.
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
    """Which pairs of tokens the release takes for the same."""
    alike = [
        source.respell(s, target) == target.pieces[t]
        for t, s in zip(target_ids.tolist(), source_ids.tolist(), strict=True)
    ]
    mapped = False if source_map is None else source_map.target_ids[source_ids] == target_ids
    return np.array(alike, bool) | mapped


def _first_kept(
    ids: NDArray[np.int32], logits: NDArray[Any]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Entries [R, K] whose id is not -1 and not that of an earlier one, moved to the front."""
    dropped = first_of_equals(ids) < 0
    order = np.argsort(dropped, axis=-1, kind="stable")
    gone = np.take_along_axis(dropped, order, -1)
    front, values = np.take_along_axis(ids, order, -1), np.take_along_axis(logits, order, -1)
    return np.where(gone, -1, front).astype(np.int32), np.where(gone, 0.0, values.astype(np.float64))
