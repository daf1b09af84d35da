"""Vocabulary maps by the bytes of tokens: exact (EM), minimum edit distance (MinED), prefix.

    V_s   source vocabulary        V_t   target vocabulary

Special tokens are mapped to special tokens only: by role (bos, eos, pad, unk), else by spelling.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from fusion.edit_distance import nearest_candidates
from fusion.errors import FusionError
from fusion.ragged import of_bytes
from fusion.tokens import TokenTable, check_fast

_ROLES_BY_WEIGHT = ("unk", "pad", "bos", "eos")  # a token with several roles is mapped by the last of them


@dataclass(frozen=True)
class VocabularyMap:
    """The target token of every source token.

    `target_ids` int32 [V_s], -1 for none; `distance` int32 [V_s], edit distance in bytes, -1 for none;
    `target_size` is V_t if it is known.
    """

    target_ids: NDArray[np.int32]
    distance: NDArray[np.int32]
    target_size: int | None = None

    @classmethod
    def identity(cls, size: int) -> Self:
        """The map of a vocabulary to itself."""
        return cls(np.arange(size, dtype=np.int32), np.zeros(size, np.int32), size)

    def check(self, source_size: int, target_size: int) -> None:
        """Raise FusionError unless the map is from a vocabulary of `source_size` to one of `target_size`.

        If the map does not know its target's size, its largest target token must be below `target_size`.
        """
        largest = int(self.target_ids.max(initial=-1)) if self.target_size is None else -1
        known = self.target_size in (None, target_size) and largest < target_size
        if len(self.target_ids) != source_size or not known:
            to = f"tokens up to {largest}" if self.target_size is None else self.target_size
            raise FusionError(
                f"the vocabulary map is from {len(self.target_ids)} tokens to {to}, but the source has "
                f"{source_size} and the target {target_size}",
                remedy="map from the source to the target, with tables as wide as the models' logits",
            )


def map_exact(source: TokenTable, target: TokenTable) -> VocabularyMap:
    """Map tokens with equal bytes; of several such target tokens, to the one with the lowest id."""
    first = _first_by_piece(target)
    target_ids = np.full(len(source.pieces), -1, np.int32)
    for token, piece in enumerate(source.pieces):
        if source.is_text(token):
            target_ids[token] = first.get(piece, -1)
    for token, counterpart in _special_pairs(source, target).items():
        target_ids[token] = counterpart
    distance = np.where(target_ids >= 0, 0, -1).astype(np.int32)
    return VocabularyMap(target_ids, distance, len(target.pieces))


def map_minimum_edit(source: TokenTable, target: TokenTable, *, threshold: float) -> VocabularyMap:
    """Map exact matches, and other text tokens to the target token at the smallest edit distance in bytes.

    This is MinED (Wan et al. 2024, section 3.1, there on spellings and without a threshold), with Levenshtein
    distance. Only target tokens with distance / longer length <= `threshold` are considered; ties go to the
    lowest id. Raises FusionError unless 0 <= threshold < 1.
    """
    if not 0 <= threshold < 1:
        raise FusionError(
            f"threshold {threshold} is outside [0, 1)",
            remedy="use a value of at least 0 and below 1; with 1 any token would match any other",
        )
    exact = map_exact(source, target)
    target_ids, distance = exact.target_ids.copy(), exact.distance.copy()
    wanted = _unmatched(exact, source)
    first = _first_by_piece(target)
    queries = of_bytes([source.pieces[i] for i in wanted])
    place, edits = nearest_candidates(queries, of_bytes(list(first)), threshold=threshold)
    target_ids[wanted] = np.append(np.array(list(first.values()), np.int32), np.int32(-1))[place]
    distance[wanted] = edits
    return VocabularyMap(target_ids, distance, len(target.pieces))


def map_prefix(source: TokenTable, target: TokenTable, tokenizer: PreTrainedTokenizerFast) -> VocabularyMap:
    """Map exact matches, and other text tokens to the first target token of their bytes.

    A source's probability of a token is the probability that the text continues with its bytes; the target
    would write these bytes beginning with that target token. It is the first token that `tokenizer` (the
    target's) uses to encode the bytes, if its tokens reproduce them; else the target token that is their
    longest prefix. `distance` is the number of bytes that remain after it. Raises FusionError for a tokenizer
    that is not fast.
    """
    check_fast(tokenizer)
    exact = map_exact(source, target)
    target_ids, distance = exact.target_ids.copy(), exact.distance.copy()
    wanted = _unmatched(exact, source)
    found = _first_tokens([source.pieces[i] for i in wanted], target, tokenizer)
    longest = _Beginnings(_first_by_piece(target))
    for token, begun in zip(wanted, found, strict=True):
        target_ids[token] = longest.of(source.pieces[token]) if begun < 0 else begun
    lengths = np.array([len(piece) for piece in (*target.pieces, b"")])
    left = np.array([len(source.pieces[i]) for i in wanted], np.int64) - lengths[target_ids[wanted]]
    distance[wanted] = np.where(target_ids[wanted] >= 0, left, -1)
    return VocabularyMap(target_ids, distance, len(target.pieces))


def _first_tokens(
    pieces: Sequence[bytes], target: TokenTable, tokenizer: PreTrainedTokenizerFast
) -> list[int]:
    """First token of each piece as the tokenizer encodes it within a text; -1 if its tokens differ from it.

    Many tokenizers put a space before a text. For these, a piece that begins with a space is encoded without
    it, and any other piece is encoded after a newline.
    """
    plain = [_decoded(piece) for piece in pieces]
    after_space = [text[1:] if text.startswith(" ") else "" for text in plain]
    after_line = ["\n" + text if text else "" for text in plain]
    attempts = [after_space, after_line, plain] if _puts_space(tokenizer, target) else [plain, after_line]
    out = [-1] * len(pieces)
    for attempt in attempts:
        left = [i for i, found in enumerate(out) if found < 0 and attempt[i]]
        for i, ids in zip(left, _read([attempt[i] for i in left], tokenizer), strict=True):
            out[i] = _begins(ids, pieces[i], target)
    return out


def _begins(ids: Sequence[int], piece: bytes, table: TokenTable) -> int:
    """The token of `ids` with which `piece` starts, if their bytes end with it; -1 if there is none."""
    if any(i >= len(table.pieces) or not table.is_text(i) for i in ids):
        return -1
    written = b"".join([table.pieces[i] for i in ids])
    if not written.endswith(piece):
        return -1
    before = len(written) - len(piece)
    for i in ids:
        if before <= 0:
            return i if before == 0 else -1
        before -= len(table.pieces[i])
    return -1


def _puts_space(tokenizer: PreTrainedTokenizerFast, table: TokenTable) -> bool:
    """Whether the tokenizer puts a space before a text."""
    return any(
        0 <= i < len(table.pieces) and table.pieces[i][:1] == b" " for i in _read(["a"], tokenizer)[0][:1]
    )


def _read(texts: list[str], tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    """Ids of each text; special tokens' spellings are plain text. Skipping offsets halves the time."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()  # calling the tokenizer resets this as well
    backend.no_padding()
    backend.encode_special_tokens = True
    return [found.ids for found in backend.encode_batch_fast(texts, add_special_tokens=False)]


def _decoded(piece: bytes) -> str:
    """The bytes as text, or "" if they are not valid UTF-8."""
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return ""


class _Beginnings:
    """Finds the token that is the longest prefix of a text."""

    def __init__(self, first: Mapping[bytes, int]) -> None:
        self._first = first
        self._longest = max(map(len, first), default=0)

    def of(self, piece: bytes) -> int:
        for stop in range(min(len(piece), self._longest), 0, -1):
            if (token := self._first.get(piece[:stop])) is not None:
                return token
        return -1


def _unmatched(found: VocabularyMap, source: TokenTable) -> list[int]:
    """Text tokens that are not mapped, ascending."""
    return [i for i in np.flatnonzero(found.target_ids < 0).tolist() if source.is_text(i)]


def _first_by_piece(table: TokenTable) -> dict[bytes, int]:
    """Lowest token id of each distinct text piece."""
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
