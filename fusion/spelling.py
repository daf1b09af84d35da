"""Vocabulary maps by the tokenizers' own spelling, as in the authors' released code.

    V_s, V_t   source and target vocabulary

Spellings can differ for the same text (a newline is `\\u010a` in one tokenizer and `<0x0A>` in another), so
`fusion.vocabulary` compares bytes instead; these maps are for comparison with published figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from fusion.edit_distance import nearest_candidates
from fusion.ragged import of_text
from fusion.tokens import check_fast
from fusion.vocabulary import VocabularyMap


@dataclass(frozen=True)
class Spellings:
    """Tokens in id order as the tokenizer spells them, "" for an id without a token.

    `marker` is the character that stands for a space; "" if the tokenizer drops spaces.
    """

    pieces: tuple[str, ...]
    marker: str

    def like(self, other: "Spellings") -> tuple[str, ...]:
        """The pieces with `other`'s marker for a space in place of their own."""
        return tuple(self.respell(token, other) for token in range(len(self.pieces)))

    def respell(self, token: int, other: "Spellings") -> str:
        """One piece with `other`'s marker for a space in place of its own."""
        piece = self.pieces[token]
        return piece.replace(self.marker, other.marker) if self.marker else piece

    def bare(self, token: int) -> str:
        """One piece without markers for spaces."""
        piece = self.pieces[token]
        return piece.replace(self.marker, "") if self.marker else piece


def spellings(tokenizer: PreTrainedTokenizerFast, width: int | None = None) -> Spellings:
    """Spelling of every token; `width` is the number of the model's logits, if not the tokenizer's size.

    Raises FusionError for a tokenizer that is not fast.
    """
    check_fast(tokenizer)
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    size = max(vocabulary.values(), default=-1) + 1 if width is None else width
    pieces = [""] * size
    for piece, token in vocabulary.items():
        if token < size:
            pieces[token] = piece
    return Spellings(tuple(pieces), _marker(tokenizer))


def map_same_spelling(source: Spellings, target: Spellings) -> VocabularyMap:
    """Map tokens, special ones included, that are spelled the same apart from the marker for a space."""
    first = _first(target.pieces)
    ids = np.array([first.get(piece, -1) if piece else -1 for piece in source.like(target)], np.int32)
    return VocabularyMap(ids, np.where(ids >= 0, 0, -1).astype(np.int32), len(target.pieces))


def map_spelling(source: Spellings, target: Spellings) -> VocabularyMap:
    """Map each token to the target token with the smallest edit distance in characters, however large.

    Ties go to the lowest id. (Wan et al. 2024, section 3.1, as in the released code: on spellings, special
    tokens included, without a threshold.)
    """
    known_s, known_t = _known(source.pieces), _known(target.pieces)
    alike = source.like(target)
    place, found = nearest_candidates(
        of_text([alike[i] for i in known_s]), of_text([target.pieces[i] for i in known_t])
    )
    ids, distance = np.full((2, len(source.pieces)), -1, np.int32)
    hit = place >= 0
    ids[known_s[hit]], distance[known_s[hit]] = known_t[place[hit]], found[hit]
    return VocabularyMap(ids, distance, len(target.pieces))


def _known(pieces: Sequence[str]) -> NDArray[np.int64]:
    return np.array([i for i, piece in enumerate(pieces) if piece], np.int64)


def _first(pieces: Sequence[str]) -> dict[str, int]:
    first: dict[str, int] = {}
    for token, piece in enumerate(pieces):
        first.setdefault(piece, token)
    return first


def _marker(tokenizer: PreTrainedTokenizerFast) -> str:
    """The character that the tokenizer turns the space of "a a" into; "" if it drops it."""
    backend = tokenizer.backend_tokenizer
    text = backend.normalizer.normalize_str("a a") if backend.normalizer else "a a"
    if backend.pre_tokenizer:
        text = "".join(piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str(text))
    return next((c for c in text if c != "a"), "")
