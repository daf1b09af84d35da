"""Which row of a source speaks of the same place as a row of the target.

    S_t, S_s   tokens of a window as target and source read it       R = S - 1   rows

Every function returns int32 [R_t]: the source's row, or -1. A source's distribution after its token j is used
against the target's prediction after its token i; both rows then predict what comes next (row t predicts
input_ids[t + 1]).

`align_end_byte` asks what makes that valid: both have read the same bytes. `align_em` and `align_mined` are
the paper's (Wan et al. 2024, section 3.1): tokens matched by dynamic programming at least edit cost, kept
where one token meets one and the two are equal (EM), or equal under the vocabulary map (MinED). They compare
bytes; `fusion.fusellm_release` compares spellings, as the authors' code does.
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
    """Rows that end at the same byte; ends [R_t] and [R_s] ascend.

    Where several rows of one model end at the same byte only the last has read all of it: last is matched to
    last. Windows are aligned one by one on their `ends`, or all at once on `Distributions.read_to`.
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
    """Rows after tokens that meet one to one on the cheapest path and stand for equal bytes.

    Ids [S_t] and [S_s] are whole windows; bos meets bos whatever its spelling.
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
    """As `align_em`, and also where the vocabulary map takes the source's token to the target's.

    Raises FusionError for a map that is not one from the source's vocabulary to the target's.
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
    """Rows of all windows [R_t], aligned window by window and numbered over the source's rows.

    `align` is given a window as target and source read it, and numbers the source's rows from 0, as
    `align_em` and `align_mined` do with the `input_ids` of both. Raises FusionError where the models have not
    as many windows, or `align` gives not one row for each of the target's or one that the source lacks.
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
                f"window {window}: {len(rows)} rows up to {largest} for the target's {count} rows and the "
                f"source's {theirs - first}",
                remedy="align the windows' tokens but for each one's last, counting from 0 in every window",
            )
        pieces.append(np.where(rows >= 0, rows + first, -1).astype(np.int32))
    return np.concatenate(pieces)


def edit_path(source: Sequence[str], target: Sequence[str]) -> tuple[NDArray[np.int32], int]:
    """Cheapest monotone path through two token sequences, and its cost.

    The path, int32 [P, 2], holds (source token, target token) from (0, 0) to the last of both; each step
    costs the Levenshtein distance of the pair it enters. Ties: diagonal, then the next source token, then the
    next target token. Empty if either sequence is.
    """
    if not source or not target:
        return np.zeros((0, 2), np.int32), 0
    steps, total = _walk(*cost_table(source, target))
    return _trace(steps), int(total)


def cost_table(
    source: Sequence[str], target: Sequence[str]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Levenshtein distances of the distinct tokens, and which of them each token is.

    int32 `source_index` [S_s], `target_index` [S_t] and `costs`: tokens i and j differ by
    `costs[source_index[i], target_index[j]]`. Text repeats itself: the table is far smaller than the path's.
    """
    source_kinds, source_index = _unique(source)
    target_kinds, target_index = _unique(target)
    costs = process.cdist(source_kinds, target_kinds, scorer=Levenshtein.distance, dtype=np.int32)
    return source_index, target_index, costs


def _one_to_one(
    target_ids: NDArray[np.int32], source_ids: NDArray[np.int32], target: TokenTable, source: TokenTable
) -> Rows:
    """Source token that alone meets each target token on the path, and meets no other."""
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
    """Text that the cost is worked out on: one character per byte, without the space that starts a word."""
    return [table.pieces[i].removeprefix(b" ").decode("latin-1") for i in ids]


def _unique(items: Sequence[Hashable]) -> tuple[list[Any], NDArray[np.int32]]:
    """Distinct items in order of appearance, and each item's place among them."""
    places: dict[Hashable, int] = {}
    index = [places.setdefault(item, len(places)) for item in items]
    return list(places), np.array(index, np.int32)


def _fill_steps(
    source: NDArray[np.int32], target: NDArray[np.int32], costs: NDArray[np.int32]
) -> tuple[NDArray[np.uint8], int]:
    """Which step enters each cell of the cheapest path; two rows of costs are held at a time."""
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
