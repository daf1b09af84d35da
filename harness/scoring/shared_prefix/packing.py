"""Packing of several sequences into one row: equal prefixes once, and an attention mask along each path.

    N    tokens of the pack        T    tokens of the trunk before it

A token sees the trunk, the tokens on its own path, and itself: reading the pack in one row gives each
sequence what it would get in a row of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.scoring.shared_prefix.prefixes import Tokens, shared


@dataclass(frozen=True)
class Pack:
    """`tokens` [N], `positions` [N] in their sequence, the attention mask `sees` [N, N], and one path per
    sequence: `paths[i]` has the indices of the i-th sequence's tokens behind the trunk, in order."""

    tokens: Tokens
    positions: NDArray[np.int64]
    sees: NDArray[np.bool_]
    paths: tuple[NDArray[np.int64], ...]


def pack(sequences: Sequence[Tokens], depth: int) -> Pack:
    """A pack of `sequences` (in sorted order, so that equal prefixes are neighbours) behind a trunk that
    holds the first `depth` tokens of each."""
    tokens: list[Tokens] = []
    positions: list[NDArray[np.int64]] = []
    paths: list[NDArray[np.int64]] = []
    count = 0
    for i, sequence in enumerate(sequences):
        start = max(depth, shared(sequence, sequences[i - 1])) if i else depth
        old = paths[-1][: start - depth] if i else np.empty(0, np.int64)
        new = np.arange(count, count + len(sequence) - start)
        tokens.append(sequence[start:])
        positions.append(np.arange(start, len(sequence)))
        paths.append(np.concatenate([old, new]))
        count += len(new)
    return Pack(np.concatenate(tokens), np.concatenate(positions), _sees(count, paths), tuple(paths))


def _sees(count: int, paths: Sequence[NDArray[np.int64]]) -> NDArray[np.bool_]:
    """[N, N]: a path's tokens see those that come before them on it, and themselves."""
    sees = np.zeros((count, count), np.bool_)
    for path in paths:
        sees[np.ix_(path, path)] = np.tri(len(path), dtype=np.bool_)
    return sees
