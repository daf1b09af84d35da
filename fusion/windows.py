"""Cutting of documents into windows that every tokenizer reads within the block size.

    C   characters of a document    B   bytes of it (UTF-8)    S   tokens of it, for one tokenizer

Windows are cut where every tokenizer has a token boundary, so that no model sees half of one of its tokens:
at the end of a line if there is one in the window's second half, else before white space there, else at the
last common boundary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from fusion.errors import FusionError
from fusion.tokens import Spans, TokenTable, character_bytes, token_spans, token_table


@dataclass(frozen=True)
class Window:
    """Characters `start` to `stop` (excluded) of a document; `last`: whether the document ends there."""

    document: int
    start: int
    stop: int
    last: bool


@dataclass(frozen=True)
class _Reader:
    """A tokenizer and the number of text tokens that a window may have."""

    tokenizer: PreTrainedTokenizerFast
    table: TokenTable
    budget: int


def cut_windows(
    documents: Sequence[str], tokenizers: Sequence[PreTrainedTokenizerFast], block_size: int
) -> list[Window]:
    """Cut all documents into windows, in order; every character is in exactly one window.

    Encoded on its own, a window has at most `block_size` tokens in each tokenizer, bos and eos included
    (whether or not they are used). Empty documents have no windows. Raises FusionError if there is no text,
    or if a single character needs more tokens than the block size.
    """
    readers = [_reader(tokenizer, block_size) for tokenizer in tokenizers]
    windows = [w for i, text in enumerate(documents) if text for w in _cut_document(i, text, readers)]
    if not windows:
        raise FusionError(
            f"the corpus has no text ({len(documents)} documents, all empty)"
            if documents
            else "the corpus is empty",
            remedy="check the corpus' files, split and column",
        )
    return windows


def _reader(tokenizer: PreTrainedTokenizerFast, block_size: int) -> _Reader:
    marks = sum(token is not None for token in (tokenizer.bos_token_id, tokenizer.eos_token_id))
    if block_size <= marks:
        raise FusionError(
            f"a block of {block_size} tokens has no room for text besides bos and eos",
            remedy="use a larger block size",
        )
    return _Reader(tokenizer, token_table(tokenizer), block_size - marks)


def _cut_document(document: int, text: str, readers: Sequence[_Reader]) -> list[Window]:
    spans = [token_spans(r.tokenizer, r.table, text) for r in readers]
    bytes_at = character_bytes(text)
    common = _common_boundaries(spans, bytes_at)
    windows: list[Window] = []
    start = 0
    while start < len(text):
        limit = _reach(spans, readers, bytes_at, start)
        stop = _fitting(text, start, _choose(text, common, start, limit), common, readers)
        windows.append(Window(document, start, stop, stop == len(text)))
        start = stop
    return windows


def _common_boundaries(spans: Sequence[Spans], bytes_at: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Character positions [C + 1] that are not inside a token of any tokenizer."""
    free = np.ones(len(bytes_at), bool)
    for s in spans:
        inside = np.zeros(bytes_at[-1] + 2, np.int64)
        wide = s.ends > s.starts
        np.add.at(inside, s.starts[wide] + 1, 1)
        np.add.at(inside, s.ends[wide], -1)
        free &= np.cumsum(inside)[bytes_at] == 0
    return free


def _reach(
    spans: Sequence[Spans], readers: Sequence[_Reader], bytes_at: NDArray[np.int64], start: int
) -> int:
    """The furthest position that all tokenizers' budgets reach from `start`; at least `start` + 1."""
    limit = int(bytes_at[-1])
    for s, reader in zip(spans, readers, strict=True):
        last = int(np.searchsorted(s.ends, bytes_at[start], side="right")) + reader.budget
        if last < len(s.ends):
            limit = min(limit, int(s.ends[last - 1]))
    return max(int(np.searchsorted(bytes_at, limit, side="right")) - 1, start + 1)


def _choose(text: str, common: NDArray[np.bool_], start: int, limit: int) -> int:
    """The best position to cut in (start, limit]; `limit` at the text's end or without a common boundary."""
    if limit == len(text):
        return limit
    places = (start + 1 + np.flatnonzero(common[start + 1 : limit + 1])).tolist()
    if not places:
        return limit
    late = [p for p in reversed(places) if p > start + (limit - start) // 2]
    line_ends = (p for p in late if text[p - 1] == "\n")
    spaces = (p for p in late if text[p].isspace())
    return next(line_ends, None) or next(spaces, None) or int(places[-1])


def _fitting(text: str, start: int, stop: int, common: NDArray[np.bool_], readers: Sequence[_Reader]) -> int:
    """`stop`, or an earlier cut if the window, encoded on its own, has too many tokens after all."""
    while not all(_fits(text[start:stop], r) for r in readers):
        if stop == start + 1:
            raise FusionError(
                f"the character {text[start]!r} alone needs more tokens than the block has",
                remedy="use a larger block size",
            )
        stop = _choose(text, common, start, start + (stop - start) // 2)
    return stop


def _fits(text: str, reader: _Reader) -> bool:
    return len(token_spans(reader.tokenizer, reader.table, text).ids) <= reader.budget
