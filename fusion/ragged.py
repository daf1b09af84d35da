"""Ragged arrays: integer sequences of different lengths, concatenated in one array.

Bytes and characters are both stored as integers, so that the same functions work on both.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

STRANGER = -1  # code of a query symbol that no candidate has


class Ragged(NamedTuple):
    """Concatenated sequences: sequence i is `symbols[offsets[i] : offsets[i + 1]]`."""

    symbols: NDArray[np.int32]  # [total]
    offsets: NDArray[np.int64]  # [sequences + 1]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)


def of_bytes(pieces: Sequence[bytes]) -> Ragged:
    """One symbol per byte."""
    symbols = np.frombuffer(b"".join(pieces), np.uint8).astype(np.int32)
    return Ragged(symbols, _offsets([len(piece) for piece in pieces]))


def of_text(texts: Sequence[str]) -> Ragged:
    """One symbol per character (Unicode code point)."""
    data = "".join(texts).encode("utf-32-le", "surrogatepass")
    return Ragged(np.frombuffer(data, np.int32), _offsets([len(text) for text in texts]))


def _offsets(lengths: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def recode(queries: Ragged, candidates: Ragged) -> tuple[Ragged, Ragged]:
    """Replace symbols by their frequency rank among the candidates' symbols, or by STRANGER."""
    alphabet, rank, counts = np.unique(candidates.symbols, return_inverse=True, return_counts=True)
    code = np.empty(len(alphabet), np.int32)
    code[np.argsort(-counts, kind="stable")] = np.arange(len(alphabet), dtype=np.int32)
    table = np.full(max(queries.symbols.max(initial=0), candidates.symbols.max(initial=0)) + 1, STRANGER)
    table[alphabet] = code
    coded = table[queries.symbols].astype(np.int32)
    return Ragged(coded, queries.offsets), Ragged(code[rank].astype(np.int32), candidates.offsets)


def keys(sequences: Ragged) -> list[bytes]:
    """Each sequence as bytes, equal for equal sequences only."""
    data, ends = sequences.symbols.tobytes(), (4 * sequences.offsets).tolist()
    return [data[start:end] for start, end in pairwise(ends)]


def first_places(sequences: Ragged) -> dict[bytes, int]:
    first: dict[bytes, int] = {}
    for place, key in enumerate(keys(sequences)):
        first.setdefault(key, place)
    return first


def picked(sequences: Ragged, places: NDArray[np.int64]) -> Ragged:
    """The sequences at `places`, in that order."""
    lengths = sequences.lengths[places]
    offsets = _offsets(lengths)
    shift = np.repeat(sequences.offsets[places] - offsets[:-1], lengths)
    return Ragged(sequences.symbols[np.arange(offsets[-1]) + shift], offsets)
