"""Windows hold every character once, fit every tokenizer, and are cut where all of them have a boundary."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.errors import FusionError
from fusion.tokens import character_bytes, encode, token_spans, token_table
from fusion.windows import Window, cut_windows
from tests.fusion.toy_tokenizers import TEXT, byte_fallback, byte_level, families, unigram, word_piece

ALL = list(families().values())
BOTH = [byte_level(), byte_fallback()]


def texts(documents: list[str], windows: list[Window]) -> list[str]:
    return [documents[w.document][w.start : w.stop] for w in windows]


def check(documents: list[str], tokenizers: list[Any], block_size: int) -> list[Window]:
    windows = cut_windows(documents, tokenizers, block_size)
    assert "".join(texts(documents, windows)) == "".join(documents)
    for a, b in pairwise(windows):
        assert (b.document, b.start) == (a.document, a.stop) or (b.document > a.document and b.start == 0)
    for w in windows:
        assert w.start < w.stop
        assert w.last == (w.stop == len(documents[w.document]))
    for tokenizer in tokenizers:
        table = token_table(tokenizer)
        for text in texts(documents, windows):
            found = encode(tokenizer, table, text, bos="bos" in table.roles, eos="eos" in table.roles)
            assert len(found.input_ids) <= block_size
    return windows


@pytest.mark.parametrize("block_size", [7, 9, 40, 10_000])
def test_every_character_is_in_one_window_and_every_tokenizer_reads_it(block_size: int) -> None:
    documents = [TEXT, "", "x", "a\r\nb\tc\x00d", "日本語 и 😀😀"]
    windows = check(documents, BOTH, block_size)
    if block_size == 10_000:
        assert windows == [Window(i, 0, len(d), True) for i, d in enumerate(documents) if d]


@pytest.mark.slow
@settings(max_examples=25)
@given(
    documents=st.lists(st.text(st.sampled_from("ab \n\r\t\x00é日😀.T"), max_size=60), min_size=1, max_size=3),
    block_size=st.integers(8, 30),
)
def test_any_documents(documents: list[str], block_size: int) -> None:
    if any(documents):
        check(documents, ALL, block_size)


def test_special_tokens_that_a_document_spells_are_cut_like_any_text() -> None:
    """As special tokens all three lines were six tokens; as text each has more than half a window of 14."""
    assert len(check(["<|endoftext|>\n" * 3], [byte_level()], 14)) == 3


def test_no_replacement_character_ever() -> None:
    """Defect 10: cutting token slices and decoding them breaks characters of several tokens."""
    documents = ["日本語😀" * 30]
    assert "\ufffd" not in "".join(texts(documents, check(documents, BOTH, 9)))


def test_cuts_are_token_boundaries_of_every_tokenizer() -> None:
    """With the whole document's tokens: no token of any tokenizer goes across a cut."""
    windows = check([TEXT], ALL, 40)
    bytes_at = character_bytes(TEXT)
    for tokenizer in ALL:
        spans = token_spans(tokenizer, token_table(tokenizer), TEXT)
        for cut in (bytes_at[w.stop] for w in windows):
            assert not ((spans.starts < cut) & (cut < spans.ends)).any()


def test_ends_of_lines_are_preferred_then_white_space() -> None:
    lines = texts([TEXT], cut_windows([TEXT], BOTH, 120))
    assert all(text.endswith("\n") for text in lines)
    words = "Wolpertinger quixotic " * 20  # common boundaries also within words
    cut = texts([words], cut_windows([words], BOTH, 60))
    assert all(text.startswith(" ") for text in cut[1:])


def test_tokenizers_that_drop_white_space_still_cut_at_ends_of_lines() -> None:
    assert all(
        t.endswith("\n") for t in texts([TEXT], cut_windows([TEXT], [word_piece(), byte_level()], 120))
    )


def test_a_stretch_without_common_boundary_is_cut_all_the_same() -> None:
    """WordPiece reads a long word as one unknown token; byte-level needs hundreds."""
    document = "日" * 300
    windows = check([document], [word_piece(), byte_level()], 16)
    assert len(windows) >= 300 * 3 // 16


def test_windows_do_not_join_documents() -> None:
    """Defect 6: every window belongs to one document."""
    documents = ["The cat.", "The mat."]
    assert [(w.document, w.last) for w in cut_windows(documents, BOTH, 1000)] == [(0, True), (1, True)]


def test_windows_use_much_of_the_block() -> None:
    text = TEXT * 4
    windows = cut_windows([text], [byte_level()], 64)
    lengths = [
        len(token_spans(byte_level(), token_table(byte_level()), t).ids) for t in texts([text], windows)
    ]
    assert np.mean(lengths[:-1]) > 0.5 * 64


@pytest.mark.parametrize("documents", [[], ["", ""]])
def test_empty_corpus_is_an_error(documents: list[str]) -> None:
    with pytest.raises(FusionError, match="empty"):
        cut_windows(documents, BOTH, 16)


def test_block_too_small_for_bos_eos_or_one_character_is_an_error() -> None:
    with pytest.raises(FusionError, match="no room for text"):
        cut_windows(["x"], [byte_fallback()], 2)
    with pytest.raises(FusionError, match="alone needs more tokens"):
        cut_windows(["😀"], [byte_fallback()], 4)  # bos, eos, space and four bytes


def test_one_tokenizer_of_any_family_suffices() -> None:
    for tokenizer in (unigram(), word_piece()):
        check([TEXT], [tokenizer], 12)
