"""Alignment of target rows with source rows: by end byte, by equal tokens (EM), by mapped tokens (MinED).

    S_t, S_s   tokens of a window as target and source read it       R = S - 1   rows

Every function returns int32 [R_t]: the source row aligned with each target row, or -1. Row t of a model is
its prediction of input_ids[t + 1].

`align_end_byte` aligns rows whose models have read the same bytes: only then is the source's distribution
valid at the target's position. `align_em` and `align_mined` are the paper's (Wan et al. 2024, section 3.1):
tokens are matched by dynamic programming at minimum edit cost, and a match is kept if it is one to one and
the two tokens are equal (EM), or equal under the vocabulary map (MinED). They compare bytes;
`fusion.fusellm_release` compares spellings, as the authors' code does.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from fusion.distributions import Distributions
from fusion.errors import FusionError
from fusion.tokens import Encoding, TokenTable
from fusion.vocabulary import VocabularyMap

Rows = NDArray[np.int32]
_ROOT, _DIAGONAL, _UP, _LEFT = 3, 0, 1, 2


def align_end_byte(target_ends: NDArray[np.integer[Any]], source_ends: NDArray[np.integer[Any]]) -> Rows:
    """Align rows that end at the same byte; ends [R_t] and [R_s] are ascending.

    Where several rows of a model end at the same byte, only the last has read all of it, so the last rows are
    aligned. Takes the `ends` of one window, or `Distributions.read_to` of all windows at once.
    """
    found = np.searchsorted(source_ends, target_ends, side="right") - 1
    out = np.full(len(target_ends), -1, np.int32)
    if len(source_ends) == 0:
        return out
    last = np.append(target_ends[1:] != target_ends[:-1], True)[: len(target_ends)]
    equal = (found >= 0) & (source_ends[np.maximum(found, 0)] == target_ends) & last
    out[equal] = found[equal]
    return out


def align_em(
    target_ids: NDArray[np.int32], source_ids: NDArray[np.int32], target: TokenTable, source: TokenTable
) -> Rows:
    """Align rows after tokens that match one to one on the cheapest path and have equal bytes.

    Ids [S_t] and [S_s] are of whole windows; bos matches bos, however it is spelled.
    """
    rows = _one_to_one(target_ids, source_ids, target, source)
    return np.where(_equal(rows, target_ids, source_ids, target, source), rows, -1).astype(np.int32)


def align_mined(
    target_ids: NDArray[np.int32],
    source_ids: NDArray[np.int32],
    target: TokenTable,
    source: TokenTable,
    vocabulary_map: VocabularyMap,
) -> Rows:
    """As `align_em`, and also where the vocabulary map sends the source token to the target token.

    Raises FusionError if the map is not from the source's vocabulary to the target's.
    """
    vocabulary_map.check(len(source.pieces), len(target.pieces))
    rows = _one_to_one(target_ids, source_ids, target, source)
    mapped = np.full(len(rows), False)
    hit = np.flatnonzero(rows >= 0)
    mapped[hit] = vocabulary_map.target_ids[source_ids[rows[hit]]] == target_ids[hit]
    kept = mapped | _equal(rows, target_ids, source_ids, target, source)
    return np.where(kept, rows, -1).astype(np.int32)


def align_windows(
    target: Distributions, source: Distributions, align: Callable[[Encoding, Encoding], Rows]
) -> Rows:
    """Align all windows [R_t], window by window; source rows are numbered over all windows.

    `align` takes a window as target and source read it, and numbers the source's rows from 0, as `align_em`
    and `align_mined` do with the `input_ids` of both. Raises FusionError if the models have read different
    numbers of windows, or if `align` returns the wrong number of rows or a row that the source does not have.
    """
    if len(target.closed) != len(source.closed):
        raise FusionError(
            f"the target has read {len(target.closed)} windows and the source {len(source.closed)}",
            remedy="extract both from the same windows, in the same order",
        )
    pieces = [np.empty(0, np.int32)]
    for window, (ours, theirs) in enumerate(zip(target.windows[1:], source.windows[1:], strict=True)):
        rows = align(target.encoding(window), source.encoding(window))
        count, first = int(ours - target.windows[window]), int(source.windows[window])
        largest = int(rows.max(initial=-1))
        if len(rows) != count or largest >= theirs - first:
            raise FusionError(
                f"window {window}: aligned {len(rows)} rows with source rows up to {largest}; the target has "
                f"{count} rows and the source {theirs - first}",
                remedy="return one source row or -1 for each target token but the last, counted from 0",
            )
        pieces.append(np.where(rows >= 0, rows + first, -1).astype(np.int32))
    return np.concatenate(pieces)


def edit_path(source: Sequence[str], target: Sequence[str]) -> tuple[NDArray[np.int32], int]:
    """Cheapest monotone path through two token sequences, and its cost.

    The path, int32 [P, 2], holds (source token, target token) from (0, 0) to the last of both; each step
    costs the Levenshtein distance of the pair it leads to. Of equal costs the diagonal step is preferred,
    then the next source token, then the next target token. Empty if either sequence is.
    """
    if not source or not target:
        return np.zeros((0, 2), np.int32), 0
    steps, total = _walk(*cost_table(source, target))
    return _trace(steps), int(total)


def cost_table(
    source: Sequence[str], target: Sequence[str]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Levenshtein distances between the distinct tokens, and each token's index among them.

    int32 `source_index` [S_s], `target_index` [S_t] and `costs`: the distance of tokens i and j is
    `costs[source_index[i], target_index[j]]`. Tokens repeat within a text, so this is far smaller than a
    table [S_s, S_t].
    """
    source_kinds, source_index = _unique(source)
    target_kinds, target_index = _unique(target)
    costs = process.cdist(source_kinds, target_kinds, scorer=Levenshtein.distance, dtype=np.int32)
    return source_index, target_index, costs


def _one_to_one(
    target_ids: NDArray[np.int32], source_ids: NDArray[np.int32], target: TokenTable, source: TokenTable
) -> Rows:
    """The source token that matches each target token one to one on the path, -1 for none [R_t]."""
    t_bos, s_bos = _has_bos(target_ids, target), _has_bos(source_ids, source)
    path, _ = edit_path(_spellings(source_ids[s_bos:], source), _spellings(target_ids[t_bos:], target))
    path = path + np.array([s_bos, t_bos], np.int32)
    met_s, met_t = np.bincount(path[:, 0]), np.bincount(path[:, 1])
    alone = path[(met_s[path[:, 0]] == 1) & (met_t[path[:, 1]] == 1)]
    rows = np.full(len(target_ids), -1, np.int32)
    rows[alone[:, 1]] = alone[:, 0]
    if t_bos and s_bos:
        rows[0] = 0
    rows = rows[:-1]
    return np.where(rows < len(source_ids) - 1, rows, -1).astype(np.int32)


def _equal(
    rows: Rows,
    target_ids: NDArray[np.int32],
    source_ids: NDArray[np.int32],
    target: TokenTable,
    source: TokenTable,
) -> NDArray[np.bool_]:
    hit = np.flatnonzero(rows >= 0)
    equal = np.zeros(len(rows), bool)
    equal[hit] = [
        _same(int(t), int(s), target, source)
        for t, s in zip(target_ids[hit], source_ids[rows[hit]], strict=True)
    ]
    return equal


def _same(target_id: int, source_id: int, target: TokenTable, source: TokenTable) -> bool:
    if target.is_text(target_id) and source.is_text(source_id):
        return target.pieces[target_id] == source.pieces[source_id]
    return any(
        target_id == target.roles[role] and source_id == source.roles.get(role) for role in target.roles
    )


def _has_bos(ids: NDArray[np.int32], table: TokenTable) -> int:
    return int(len(ids) > 0 and int(ids[0]) == table.roles.get("bos"))


def _spellings(ids: NDArray[np.int32], table: TokenTable) -> list[str]:
    """The strings that costs are computed on: one character per byte, without a leading space."""
    return [table.pieces[i].removeprefix(b" ").decode("latin-1") for i in ids]


def _unique(items: Sequence[Hashable]) -> tuple[list[Any], NDArray[np.int32]]:
    """Distinct items in order of appearance, and each item's index among them."""
    places: dict[Hashable, int] = {}
    index = [places.setdefault(item, len(places)) for item in items]
    return list(places), np.array(index, np.int32)


def _fill_steps(
    source: NDArray[np.int32], target: NDArray[np.int32], costs: NDArray[np.int32]
) -> tuple[NDArray[np.uint8], int]:
    """The step by which the cheapest path enters each cell, and its cost; only two rows of costs are held."""
    n, m = len(source), len(target)
    far = np.int64(1) << 40
    steps = np.empty((n, m), np.uint8)
    before, row = np.empty(m, np.int64), np.empty(m, np.int64)
    for i in range(n):
        for j in range(m):
            best, step = np.int64(0), 3
            if i > 0 or j > 0:
                best, step = (before[j - 1], 0) if i > 0 and j > 0 else (far, 0)
                if i > 0 and before[j] < best:
                    best, step = before[j], 1
                if j > 0 and row[j - 1] < best:
                    best, step = row[j - 1], 2
            row[j] = best + costs[source[i], target[j]]
            steps[i, j] = step
        before, row = row, before
    return steps, before[m - 1]


def _trace_steps(steps: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The path from the first cell to the last."""
    i, j = steps.shape[0] - 1, steps.shape[1] - 1
    path = np.empty((i + j + 1, 2), np.int32)
    place = i + j
    path[place] = i, j
    while steps[i, j] != 3:
        step = steps[i, j]
        if step != 2:
            i -= 1
        if step != 1:
            j -= 1
        place -= 1
        path[place] = i, j
    return path[place:].copy()


_walk: Any = njit(cache=True)(_fill_steps)
_trace: Any = njit(cache=True)(_trace_steps)
