"""Documents cut into pieces that every tokenizer reads within the block size.

    C   characters of a document           B   bytes of it (UTF-8)             S   tokens of it, for one
    tokenizer

Windows are cut where every tokenizer has a token boundary, so that no model is shown half of its own token;
at the end of a line if one lies in the window's second half, else before white space there, else at the last
common boundary.
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
    """Characters `start` to `stop` of a document; `last` says that the document ends there."""

    document: int
    start: int
    stop: int
    last: bool


@dataclass(frozen=True)
class _Reader:
    """A tokenizer and the number of text tokens it may spend on a window."""

    tokenizer: PreTrainedTokenizerFast
    table: TokenTable
    budget: int


def cut_windows(
    documents: Sequence[str], tokenizers: Sequence[PreTrainedTokenizerFast], block_size: int
) -> list[Window]:
    """Windows of all documents, in order; every character is in exactly one.

    For each tokenizer a window, read on its own, has at most `block_size` tokens including bos and eos
    (whether or not they are used). Empty documents have no window. Raises FusionError if there is no text at
    all, or if a single character needs more tokens than the block has.
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
            f"a block of {block_size} tokens has no room for text beside bos and eos",
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
    """Character positions [C + 1] that are inside no tokenizer's token."""
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
    """The furthest character that all tokenizers reach from `start`; at least one further."""
    limit = int(bytes_at[-1])
    for s, reader in zip(spans, readers, strict=True):
        last = int(np.searchsorted(s.ends, bytes_at[start], side="right")) + reader.budget
        if last < len(s.ends):
            limit = min(limit, int(s.ends[last - 1]))
    return max(int(np.searchsorted(bytes_at, limit, side="right")) - 1, start + 1)


def _choose(text: str, common: NDArray[np.bool_], start: int, limit: int) -> int:
    """The best place to cut in (start, limit]; `limit` where the text ends or none is common."""
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
    """`stop`, or an earlier cut if the window, read on its own, is longer than it was inside its document."""
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
