"""From one model's vocabulary to another's, on the bytes that tokens stand for.

    V_s   source vocabulary        V_t   target vocabulary

Special tokens are matched by role (bos, eos, pad, unk), then by spelling among special tokens; never with
text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from fusion.errors import FusionError
from fusion.tokens import TokenTable

_ROLES_BY_WEIGHT = ("unk", "pad", "bos", "eos")  # a token with several roles is mapped by the last of them
_CHUNK = 256  # queries of one distance matrix, which bounds its memory
_NONE = np.iinfo(np.int64).max


@dataclass(frozen=True)
class VocabularyMap:
    """Target token of every source token.

    `target_ids` int32 [V_s], -1 for none; `distance` int32 [V_s], edits in bytes, -1 for none.
    """

    target_ids: NDArray[np.int32]
    distance: NDArray[np.int32]

    @classmethod
    def identity(cls, size: int) -> Self:
        """Of a vocabulary to itself."""
        return cls(np.arange(size, dtype=np.int32), np.zeros(size, np.int32))


def map_exact(source: TokenTable, target: TokenTable) -> VocabularyMap:
    """Tokens that stand for equal bytes; of several such target tokens the one with the lowest id."""
    first = _first_by_piece(target)
    target_ids = np.full(len(source.pieces), -1, np.int32)
    for token, piece in enumerate(source.pieces):
        if source.is_text(token):
            target_ids[token] = first.get(piece, -1)
    for token, counterpart in _special_pairs(source, target).items():
        target_ids[token] = counterpart
    return VocabularyMap(target_ids, np.where(target_ids >= 0, 0, -1).astype(np.int32))


def map_minimum_edit(source: TokenTable, target: TokenTable, *, threshold: float) -> VocabularyMap:
    """Exact matches, and for other text tokens the target token at the least Levenshtein distance in bytes.

    (MinED: Wan et al. 2024, section 3.1, there on the tokenizers' spelling and without a threshold.) Only
    target tokens with distance / longer length <= `threshold` are considered; ties go to the lowest id.
    Raises FusionError unless 0 <= threshold < 1.
    """
    if not 0 <= threshold < 1:
        raise FusionError(
            f"threshold {threshold} is outside [0, 1)", remedy="1 would let any token stand for any other"
        )
    exact = map_exact(source, target)
    target_ids, distance = exact.target_ids.copy(), exact.distance.copy()
    wanted = [i for i in np.flatnonzero(target_ids < 0).tolist() if source.is_text(i)]
    found = _nearest_by_length([source.pieces[i] for i in wanted], _first_by_piece(target), threshold)
    target_ids[wanted], distance[wanted] = found
    return VocabularyMap(target_ids, distance)


def _first_by_piece(table: TokenTable) -> dict[bytes, int]:
    """Lowest id of each piece of text."""
    first: dict[bytes, int] = {}
    for token, piece in enumerate(table.pieces):
        if table.is_text(token):
            first.setdefault(piece, token)
    return first


def _special_pairs(source: TokenTable, target: TokenTable) -> dict[int, int]:
    spelled = {target.pieces[i]: i for i in sorted(target.special, reverse=True)}
    pairs = {i: spelled[source.pieces[i]] for i in source.special if source.pieces[i] in spelled}
    shared = [role for role in _ROLES_BY_WEIGHT if role in source.roles and role in target.roles]
    return pairs | {source.roles[role]: target.roles[role] for role in shared}


def _nearest_by_length(
    queries: Sequence[bytes], first: dict[bytes, int], threshold: float
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Nearest piece of each query: ids and distances, -1 for none within the threshold.

    Lengths that differ by more than the threshold allows are never compared.
    """
    best = np.full(len(queries), _NONE, np.int64)
    target_buckets = _by_length(list(first))
    token_of = np.array(list(first.values()), np.int64)
    pieces = [_characters(piece) for piece in first]
    texts = [_characters(query) for query in queries]
    for length, members in _by_length(queries).items():
        for other, candidates in target_buckets.items():
            cutoff = int(threshold * max(length, other) + 1e-9)
            if cutoff and abs(length - other) <= cutoff:
                found = _best([texts[i] for i in members], [pieces[i] for i in candidates], cutoff)
                rank = np.where(found[0] <= cutoff, found[0] << 32 | token_of[candidates][found[1]], _NONE)
                best[members] = np.minimum(best[members], rank)
    hit = best < _NONE
    ids = np.where(hit, best & 0xFFFFFFFF, -1).astype(np.int32)
    return ids, np.where(hit, best >> 32, -1).astype(np.int32)


def _best(
    queries: Sequence[str], candidates: Sequence[str], cutoff: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Least distance of each query (above `cutoff` for none), and the first candidate that has it."""
    distance = np.empty(len(queries), np.int64)
    place = np.empty(len(queries), np.int64)
    for start in range(0, len(queries), _CHUNK):
        part = slice(start, start + _CHUNK)
        matrix = process.cdist(
            queries[part], candidates, scorer=Levenshtein.distance, score_cutoff=cutoff, dtype=np.uint16
        )
        place[part] = matrix.argmin(1)
        distance[part] = matrix.min(1)
    return distance, place


def _by_length(pieces: Sequence[bytes]) -> dict[int, list[int]]:
    """Positions of the pieces of each length, ascending."""
    buckets: dict[int, list[int]] = {}
    for position, piece in enumerate(pieces):
        buckets.setdefault(len(piece), []).append(position)
    return buckets


def _characters(piece: bytes) -> str:
    """One character per byte: what rapidfuzz compares fastest."""
    return piece.decode("latin-1")
