"""Exact nearest-neighbour search among sequences of integers by Levenshtein distance.

    Q, C   number of queries and of candidates         m, n   length of a query and of a candidate
    A      size of the candidates' alphabet            VP, VN, HP, HN   bits of Myers' recurrence

A distance is computed column by column in the bits of one word (Myers 1999, in the form of Hyyrö 2003, figure
3); queries of more than 64 symbols use a table. Four things keep the search short:

- candidates are visited by length, starting at the query's own, until the difference in length alone exceeds
  the best distance so far;
- symbols that only one of the two sequences has give a lower bound of the distance, which rules out most
  candidates;
- queries are sorted, so that the nearest candidate of one is a good first guess for the next;
- symbols outside the candidates' alphabet (*strangers*) can match nothing and share one code, so that many
  queries become equal and are searched once.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fusion.ragged import Ragged, first_places, keys, picked, recode

_WORD = 64  # symbols of a query that fit one word
_OWN, _TWICE = 80, 40  # of 128 bits: one per frequent symbol, one per repetition of the most frequent ...
_SHARED = 128 - _OWN - _TWICE  # ... and the rest shared by all other symbols
_FAR = 1 << 40
_ONE, _ZERO = np.uint64(1), np.uint64(0)
_M1, _M2, _M4 = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)
_BYTES = np.uint64(0x0101010101010101)


class _Candidates(NamedTuple):
    """Candidates sorted by length, then index; bits in `low` and `high` say which symbols they have."""

    symbols: NDArray[np.int32]
    offsets: NDArray[np.int64]
    low: NDArray[np.uint64]
    high: NDArray[np.uint64]
    places: NDArray[np.int64]  # index in the caller's order
    starts: NDArray[np.int64]  # [longest + 2]: where the candidates of each length begin


def nearest_candidates(
    queries: Ragged, candidates: Ragged, *, threshold: float | None = None
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Index of each query's nearest candidate and its distance, int32 [Q]; -1 and -1 for none.

    With a `threshold`, candidates with distance / longer length above it are not considered. Ties go to the
    lowest index.
    """
    place, distance = np.full(len(queries.lengths), -1, np.int32), np.full(len(queries.lengths), -1, np.int32)
    coded, others = recode(queries, candidates)
    same = first_places(others)
    key_of = keys(coded)
    patterns: dict[bytes, int] = {}
    for query, key in enumerate(key_of):
        if key in same:
            place[query], distance[query] = same[key], 0
        else:
            patterns.setdefault(key, query)
    if not patterns or not len(candidates.lengths):
        return place, distance
    ordered = sorted(patterns)
    found = _search(picked(coded, np.array([patterns[key] for key in ordered])), _arranged(others), threshold)
    rank = {key: i for i, key in enumerate(ordered)}
    index = np.array([rank.get(key, -1) for key in key_of])
    place[index >= 0], distance[index >= 0] = (part[index[index >= 0]] for part in found)
    return place, distance


# --- preparation


def _arranged(sequences: Ragged) -> _Candidates:
    lengths = sequences.lengths
    order = np.argsort(lengths, kind="stable").astype(np.int64)
    starts = np.searchsorted(lengths[order], np.arange(lengths.max() + 2)).astype(np.int64)
    ordered = picked(sequences, order)
    low, high, _ = _presence(ordered.symbols, ordered.offsets)
    return _Candidates(ordered.symbols, ordered.offsets, low, high, order, starts)


def _search(
    patterns: Ragged, candidates: _Candidates, threshold: float | None
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    place, distance = np.full((2, len(patterns.lengths)), -1, np.int32)
    share = np.inf if threshold is None else threshold
    _search_all(
        patterns.symbols,
        patterns.offsets,
        *_presence(patterns.symbols, patterns.offsets),
        candidates,
        share,
        place,
        distance,
    )
    return place, distance


# --- compiled


def _count_bits(word: np.uint64) -> np.int64:
    word = word - ((word >> _ONE) & _M1)
    word = (word & _M2) + ((word >> np.uint64(2)) & _M2)
    word = (word + (word >> np.uint64(4))) & _M4
    return np.int64((word * _BYTES) >> np.uint64(56))


_popcount: Any = njit(cache=True, inline="always")(_count_bits)


def _presence_of(
    symbols: NDArray[np.int32], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int64]]:
    """The symbols of each sequence as 128 bits, and the number of its symbols that are strangers.

    Every symbol of a sequence sets at most one bit, so each bit that only one of two sequences has stands for
    at least one edit.
    """
    count = len(offsets) - 1
    low, high, strangers = np.zeros(count, np.uint64), np.zeros(count, np.uint64), np.zeros(count, np.int64)
    for i in range(count):
        for symbol in symbols[offsets[i] : offsets[i + 1]]:
            if symbol < 0:
                strangers[i] += 1
                continue
            bit = symbol if symbol < _OWN else _OWN + _TWICE + symbol % _SHARED
            if symbol < _TWICE and (low[i] >> np.uint64(symbol)) & _ONE:
                bit = _OWN + symbol
            if bit < 64:
                low[i] |= _ONE << np.uint64(bit)
            else:
                high[i] |= _ONE << np.uint64(bit - 64)
    return low, high, strangers


_presence: Any = njit(cache=True)(_presence_of)


def _alphabet_size(symbols: NDArray[np.int32]) -> int:
    return symbols.max() + 1 if len(symbols) else 1


_alphabet: Any = njit(cache=True)(_alphabet_size)


def _write_marks(pattern: NDArray[np.int32], marks: NDArray[np.uint64]) -> None:
    """For each symbol of the alphabet, mark the positions where the pattern has it; bit k is position k."""
    for k in range(min(len(pattern), _WORD)):
        if pattern[k] >= 0:
            marks[pattern[k]] |= _ONE << np.uint64(k)


def _clear_marks(pattern: NDArray[np.int32], marks: NDArray[np.uint64]) -> None:
    for symbol in pattern:
        if symbol >= 0:
            marks[symbol] = _ZERO


_mark: Any = njit(cache=True)(_write_marks)
_unmark: Any = njit(cache=True)(_clear_marks)


def _myers_distance(marks: NDArray[np.uint64], m: int, text: NDArray[np.int32], cut: int) -> int:
    """Distance for a pattern of 1 to 64 symbols; if it exceeds `cut`, some number above `cut`."""
    VP, VN = ~_ZERO, _ZERO
    last = _ONE << np.uint64(m - 1)
    score, left = m, len(text)
    for symbol in text:
        left -= 1
        equal = marks[symbol]
        D0 = (((equal & VP) + VP) ^ VP) | equal | VN
        HP, HN = VN | ~(D0 | VP), VP & D0
        if HP & last:
            score += 1
        elif HN & last:
            score -= 1
        if score - left > cut:
            return score - left
        HP = (HP << _ONE) | _ONE
        VP, VN = (HN << _ONE) | ~(D0 | HP), HP & D0
    return score


_myers: Any = njit(cache=True)(_myers_distance)


def _table_distance(pattern: NDArray[np.int32], text: NDArray[np.int32], cut: int) -> int:
    """Distance by the textbook table, two rows at a time; if it exceeds `cut`, some number above `cut`."""
    n = len(text)
    before, row = np.arange(n + 1), np.empty(n + 1, np.int64)
    for i in range(len(pattern)):
        row[0] = least = i + 1
        for j in range(n):
            swapped = before[j] + (0 if pattern[i] == text[j] else 1)
            row[j + 1] = min(swapped, before[j + 1] + 1, row[j] + 1)
            least = min(least, row[j + 1])
        if least > cut:
            return least
        before, row = row, before
    return int(before[n])


_table: Any = njit(cache=True)(_table_distance)


def _pair_distance(
    pattern: NDArray[np.int32], marks: NDArray[np.uint64], text: NDArray[np.int32], cut: int
) -> int:
    if len(pattern) == 0:
        return len(text)
    short = len(pattern) <= _WORD
    found: int = _myers(marks, len(pattern), text, cut) if short else _table(pattern, text, cut)
    return found


_pair: Any = njit(cache=True)(_pair_distance)


def _most_edits(share: float, longer: int) -> int:
    """Largest distance that the threshold allows if the longer sequence has `longer` symbols."""
    return _FAR if share == np.inf else int(share * longer + 1e-9)


_allowed: Any = njit(cache=True, inline="always")(_most_edits)


def _scan_length(
    pattern: NDArray[np.int32],
    marks: NDArray[np.uint64],
    presence: tuple[np.uint64, np.uint64, np.int64],
    candidates: _Candidates,
    length: int,
    limit: int,
    best: int,
    at: int,
) -> tuple[int, int]:
    """(distance, candidate) of the best of candidate `at` (-1: none; distance `best`) and those of `length`.

    Candidates more than `limit` edits away are not considered.
    """
    low, high, strangers = presence
    gap = abs(length - len(pattern))
    where = candidates.places[at] if at >= 0 else _FAR
    for i in range(candidates.starts[length], candidates.starts[length + 1]):
        place = candidates.places[i]
        cut = min(best if place < where else best - 1, limit)
        if gap > cut:  # the others of this length have higher indices, so none of them can win
            break
        if _popcount(low & ~candidates.low[i]) + _popcount(high & ~candidates.high[i]) + strangers > cut:
            continue
        if _popcount(candidates.low[i] & ~low) + _popcount(candidates.high[i] & ~high) > cut:
            continue
        text = candidates.symbols[candidates.offsets[i] : candidates.offsets[i + 1]]
        distance = _pair(pattern, marks, text, cut)
        if distance <= cut:
            best, at, where = distance, i, place
    return best, at


_scan: Any = njit(cache=True)(_scan_length)


def _search_one(
    pattern: NDArray[np.int32],
    marks: NDArray[np.uint64],
    presence: tuple[np.uint64, np.uint64, np.int64],
    candidates: _Candidates,
    share: float,
    start: int,
) -> tuple[int, int]:
    """(distance, candidate) of the nearest candidate, -1 for none; `start` is tried first unless it is -1."""
    m, longest = len(pattern), len(candidates.starts) - 2
    best, at = _FAR, -1
    if start >= 0:
        text = candidates.symbols[candidates.offsets[start] : candidates.offsets[start + 1]]
        distance = _pair(pattern, marks, text, _FAR)
        if distance <= _allowed(share, max(m, len(text))):
            best, at = distance, start
    for gap in range(max(longest, m) + 1):
        if gap > best:
            break
        for length in (m - gap, m + gap):
            if 0 <= length <= longest:
                limit = _allowed(share, max(m, length))
                best, at = _scan(pattern, marks, presence, candidates, length, limit, best, at)
    return best, at


_one: Any = njit(cache=True)(_search_one)


def _search_patterns(
    symbols: NDArray[np.int32],
    offsets: NDArray[np.int64],
    low: NDArray[np.uint64],
    high: NDArray[np.uint64],
    strangers: NDArray[np.int64],
    candidates: _Candidates,
    share: float,
    place: NDArray[np.int32],
    distance: NDArray[np.int32],
) -> None:
    """Write the nearest candidate of every pattern into `place` and `distance`."""
    marks = np.zeros(_alphabet(candidates.symbols), np.uint64)
    at = -1
    for q in range(len(offsets) - 1):
        pattern = symbols[offsets[q] : offsets[q + 1]]
        _mark(pattern, marks)
        best, found = _one(pattern, marks, (low[q], high[q], strangers[q]), candidates, share, at)
        _unmark(pattern, marks)
        if found >= 0:
            at = found
            place[q], distance[q] = candidates.places[at], best


_search_all: Any = njit(cache=True, nogil=True)(_search_patterns)
