"""Prefix tree of token sequences, and an order of passes in which no token is read twice.

Requests of one benchmark share few-shot examples; answers of one document share its question. Sorted, equal
prefixes lie side by side, so the tree is the list of sequences and, between neighbours, how much they share.

    trunk    a prefix that many sequences share: read once and kept while those are read
    pack     what is read in one forward pass behind a trunk: several sequences, equal parts once
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int64]
Range = tuple[int, int]  # of sorted sequences: first, and one past the last

MIN_TRUNK = 32  # tokens; below, a pass of its own for the trunk costs more than reading it again


@dataclass(frozen=True)
class Grow:
    """Lengthen the trunk to the first `stop` tokens of a sequence; it holds the first `start` already."""

    sequence: int
    start: int
    stop: int


@dataclass(frozen=True)
class Shrink:
    """Cut the trunk back to its first `length` tokens."""

    length: int


@dataclass(frozen=True)
class Read:
    """Read these sequences in one pass behind the trunk, which holds their first `depth` tokens."""

    sequences: tuple[int, ...]
    depth: int


@dataclass(frozen=True)
class Group:
    """Sequences that share their first `depth` tokens."""

    sequences: tuple[int, ...]
    depth: int


PlanStep = Grow | Shrink | Read


def shared(a: Tokens, b: Tokens) -> int:
    """How many tokens two sequences have in common at their start."""
    n = min(len(a), len(b))
    differs = np.flatnonzero(a[:n] != b[:n])
    return int(differs[0]) if differs.size else n


def sorted_order(sequences: Sequence[Tokens]) -> list[int]:
    """Indices in lexicographic order, equal sequences in the order given."""
    # big-endian numbers compare as their bytes do, and bytes compare at the speed of memory
    keys = [s.astype(">u4").tobytes() for s in sequences]
    return sorted(range(len(sequences)), key=keys.__getitem__)


@dataclass(frozen=True)
class PrefixTree:
    """Sequences in sorted order.

    n sequences: `order` [n] their indices, `lengths` [n], `overlap` [n] the tokens that each shares with the
    one before it (0 for the first), `free` [n] how many of each one's first tokens are only context: from
    there on logits are read, so that a trunk must end before.
    """

    order: tuple[int, ...]
    lengths: NDArray[np.int64]
    overlap: NDArray[np.int64]
    free: NDArray[np.int64]

    @classmethod
    def of(cls, sequences: Sequence[Tokens], free: Sequence[int]) -> "PrefixTree":
        order = sorted_order(sequences)
        overlap = [shared(sequences[a], sequences[b]) for a, b in pairwise(order)]
        return cls(
            tuple(order),
            np.array([len(sequences[i]) for i in order], np.int64),
            np.array([0, *overlap][: len(order)], np.int64),
            np.array([free[i] for i in order], np.int64),
        )

    def members(self, ranges: Sequence[Range]) -> tuple[int, ...]:
        """The sequences of these ranges."""
        return tuple(i for low, high in ranges for i in self.order[low:high])

    def distinct(self, low: int, high: int, depth: int = 0) -> int:
        """Tokens of a range behind a trunk of `depth`, equal parts counted once."""
        before = np.maximum(self.overlap[low:high], depth)
        before[:1] = depth
        return int((self.lengths[low:high] - before).sum())

    def trunk_length(self, low: int, high: int) -> int:
        """How long a trunk a range could share."""
        common = self.overlap[low + 1 : high].min(initial=self.lengths[low])
        return int(min(common, self.free[low:high].min()))

    def branches(self, low: int, high: int) -> list[Range]:
        """The parts into which a range of two or more falls where its sequences share least."""
        inner = self.overlap[low + 1 : high]
        cuts = [low, *(low + 1 + np.flatnonzero(inner == inner.min())).tolist(), high]
        return list(pairwise(cuts))


def distinct_tokens(sequences: Sequence[Tokens]) -> int:
    """Number of nodes of the prefix tree: the minimum number of tokens to compute."""
    return PrefixTree.of(sequences, [0] * len(sequences)).distinct(0, len(sequences))


def plan(sequences: Sequence[Tokens], free: Sequence[int], pack_tokens: int) -> Iterator[PlanStep]:
    """Steps that read every sequence once, in packs of at most `pack_tokens` tokens behind the trunk.

    A single sequence that is longer than that, and has no context left to move to the trunk, is a pack of its
    own.

    Args:
        sequences: token ids, each of at least one token.
        free: for each, the number of its first tokens whose logits are not needed.
        pack_tokens: at least 1.
    """
    tree = PrefixTree.of(sequences, free)
    waiting: list[tuple[Range, int] | Grow | Shrink] = [((0, len(sequences)), 0)]
    while waiting:
        work = waiting.pop()
        if isinstance(work, Grow | Shrink):
            yield work
            continue
        (low, high), depth = work
        whole, deeper = _divide(tree, low, high, depth, pack_tokens)
        for ranges in _packs(tree, whole, depth, pack_tokens):
            yield Read(tree.members(ranges), depth)
        for a, b in reversed(deeper):
            longer = tree.trunk_length(a, b)
            waiting += [Shrink(depth), ((a, b), longer), Grow(tree.order[a], depth, longer)]


def _divide(
    tree: PrefixTree, low: int, high: int, depth: int, pack_tokens: int
) -> tuple[list[Range], list[Range]]:
    """A range as parts that fit into a pack, and parts that need a longer trunk."""
    whole: list[Range] = []
    deeper: list[Range] = []
    waiting = [(low, high)] if high > low else []
    while waiting:
        a, b = waiting.pop()
        if tree.distinct(a, b, depth) <= pack_tokens:
            whole.append((a, b))
        elif tree.trunk_length(a, b) - depth >= MIN_TRUNK:
            deeper.append((a, b))
        elif b - a == 1:
            whole.append((a, b))
        else:
            waiting += reversed(tree.branches(a, b))
    return whole, deeper


def _packs(tree: PrefixTree, ranges: Sequence[Range], depth: int, pack_tokens: int) -> Iterator[list[Range]]:
    """Neighbouring parts combined, as many as fit; the answers of a document stay together."""
    pack: list[Range] = []
    size = 0
    for low, high in ranges:
        tokens = tree.distinct(low, high, depth)
        if pack and size + tokens > pack_tokens:
            yield pack
            pack, size = [], 0
        pack.append((low, high))
        size += tokens
    if pack:
        yield pack


def groups(sequences: Sequence[Tokens]) -> list[Group]:
    """Sequences by the prefix that saves most when it is read once; what shares nothing comes last, together.

    At least one token of each sequence stays behind its group's prefix.
    """
    tree = PrefixTree.of(sequences, [len(s) - 1 for s in sequences])
    found: list[Group] = []
    loose: list[Range] = []
    waiting = [(0, len(sequences))] if sequences else []
    while waiting:
        low, high = waiting.pop()
        parts = tree.branches(low, high) if high - low > 1 else []
        if parts and _saved(tree, low, high) <= sum(_saved(tree, a, b) for a, b in parts):
            waiting += reversed(parts)
        elif _saved(tree, low, high):
            found.append(Group(tree.members([(low, high)]), tree.trunk_length(low, high)))
        else:
            loose.append((low, high))
    return [*found, *([Group(tree.members(loose), 0)] if loose else [])]


def _saved(tree: PrefixTree, low: int, high: int) -> int:
    """Tokens saved by a trunk for the whole range; 0 if the trunk would be too short."""
    length = tree.trunk_length(low, high)
    return (high - low - 1) * length if length >= MIN_TRUNK else 0
