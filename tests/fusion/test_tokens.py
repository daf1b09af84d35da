"""Tokens stand for bytes, whatever the family; ends count the bytes read."""

import json
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.alignment import align_end_byte
from fusion.errors import FusionError
from fusion.tokens import TokenTable, character_bytes, encode, token_spans, token_table, wants_bos
from tests.fusion.toy_tokenizers import (
    byte_fallback,
    byte_level,
    composed_byte_level,
    crossing_byte_level,
    families,
    half_cup,
    marked_by_normalizer,
    marked_word_piece,
    normalised,
    unigram,
    word_piece,
)

HARD_TEXTS = [
    "",
    " ",
    "\n\n",
    "a\r\nb\r\n",
    "a\tb\x00c",
    "  two spaces, trailing  ",
    "日本語 и Ελληνικά",
    "😀 👨‍👩‍👧 e\u0301",
    "The cats sat.",
    "\u2028\ufeff",
]
ALL = families()
LOSSLESS = ["byte_level", "byte_fallback"]


def pieces_of(table: TokenTable, ids: Any) -> bytes:
    return b"".join(table.pieces[i] for i in ids)


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("text", HARD_TEXTS)
def test_bytes_of_the_tokens_are_the_text(name: str, text: str) -> None:
    table = token_table(ALL[name])
    found = encode(ALL[name], table, text, bos=False, eos=False)
    assert pieces_of(table, found.input_ids) in (text.encode(), b" " + text.encode())
    assert (found.ends[-1] if text else len(found.ends)) == len(text.encode())


@settings(max_examples=60)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_any_text_is_covered_to_its_last_byte(text: str) -> None:
    for name in LOSSLESS:
        ends = encode(ALL[name], token_table(ALL[name]), text, bos=False, eos=False).ends
        assert ends[-1] == len(text.encode())
        assert (np.diff(ends) >= 0).all()


@pytest.mark.parametrize("name", list(ALL))
def test_spans_follow_the_words_in_every_family(name: str) -> None:
    text = "The cat sat."
    spans = token_spans(ALL[name], token_table(ALL[name]), text)
    assert (np.diff(spans.ends) >= 0).all()
    assert {3, 7, 11, 12} <= set(spans.ends.tolist())  # bytes after The, cat, sat and the full stop


def test_the_end_of_a_token_is_the_same_with_and_without_its_space() -> None:
    """ " cat" (byte-level) and "cat" (WordPiece) both end at byte 7."""
    for tokenizer in (byte_level(), word_piece()):
        table = token_table(tokenizer)
        spans = token_spans(tokenizer, table, "The cat")
        read = pieces_of(table, spans.ids[np.searchsorted(spans.ends, 3, side="right") :])
        assert read == b" cat"


def test_the_space_marker_as_text_is_still_three_bytes() -> None:
    """U+2581 is spelled like a space by such tokenizers; their offsets tell it apart."""
    found = encode(byte_fallback(), token_table(byte_fallback()), "\u2581cat", bos=False, eos=False)
    assert found.ends[-1] == 6


def test_dummy_space_before_the_text_is_no_byte_of_it() -> None:
    table = token_table(byte_fallback())
    found = encode(byte_fallback(), table, "The cat", bos=False, eos=False)
    assert pieces_of(table, found.input_ids) == b" The cat"
    assert found.ends.tolist() == [3, 7]


def test_byte_fallback_pieces_are_their_byte() -> None:
    """U+00FF is C3 BF in UTF-8; the dummy space ends at 0."""
    table = token_table(byte_fallback())
    found = encode(byte_fallback(), table, "ÿ", bos=False, eos=False)
    assert [table.pieces[i] for i in found.input_ids] == [b" ", b"\xc3", b"\xbf"]
    assert found.ends.tolist() == [0, 1, 2]


def test_byte_alphabet_covers_every_byte_once() -> None:
    table = token_table(byte_level())
    single = {p for i, p in enumerate(table.pieces) if len(p) == 1 and table.is_text(i)}
    assert single == {bytes([b]) for b in range(256)}


def test_word_piece_words_carry_the_space_that_was_dropped() -> None:
    tokenizer = word_piece()
    table = token_table(tokenizer)
    pieces = {p: table.pieces[i] for p, i in tokenizer.get_vocab().items()}
    assert (pieces["c"], pieces["##a"], pieces["."]) == (b" c", b"a", b".")


def test_lower_casing_falls_back_to_offsets() -> None:
    tokenizer = word_piece(lowercase=True)
    ends = encode(tokenizer, token_table(tokenizer), "THE  CAT\n", bos=False, eos=False).ends
    assert 3 in ends and ends[-1] == 8


def test_unknown_characters_have_the_end_of_their_offsets() -> None:
    found = encode(unigram(), token_table(unigram()), "cat 日本 cat", bos=False, eos=False)
    assert found.ends[-1] == len("cat 日本 cat".encode())


def test_compatibility_characters_end_where_the_original_ends() -> None:
    """NFKC writes the ligature U+FB01 (3 bytes) as two letters, which share its offsets."""
    spans = token_spans(unigram(), token_table(unigram()), "\ufb01n")
    assert spans.ends[-1] == 4
    assert (np.diff(spans.ends) >= 0).all()


def ends_of(tokenizer: Any, text: str) -> list[int]:
    ends: list[int] = encode(tokenizer, token_table(tokenizer), text, bos=False, eos=False).ends.tolist()
    return ends


def test_tokens_that_share_a_character_end_inside_it_only_by_the_text_s_own_bytes() -> None:
    """Byte-level after NFC: U+00E9 (two tokens) was e and an accent (3 bytes); the emoji is four tokens.

    Shared offsets say 3, 3 and 7, 7, 7, 7. The emoji's tokens are its bytes; C3 A9 are not those of the text,
    so neither has read anything of it before both have.
    """
    assert ends_of(composed_byte_level(), "e\u0301\U0001f600") == [3, 3, 4, 5, 6, 7]


def test_syllables_composed_of_three_letters_are_one_character() -> None:
    """Hangul: three conjoining letters of 3 bytes each become one syllable, of three byte tokens."""
    assert ends_of(composed_byte_level(), "\u1112\u1161\u11ab!") == [9, 9, 9, 10]


def test_a_token_that_crosses_a_character_ends_inside_it() -> None:
    """ " \\xf0\\x9f" has read the space and half the emoji; its offsets say all of it."""
    assert ends_of(crossing_byte_level(), "e\u0301 \U0001f970b") == [3, 3, 6, 7, 8, 9]


def test_a_dummy_space_on_its_own_has_read_nothing() -> None:
    """ "==" keeps its bytes though the ligature U+FB01 after it does not."""
    assert ends_of(half_cup(), "== fi") == [0, 2, 3, 5]
    assert ends_of(half_cup(), "== \ufb01") == [0, 2, 3, 6]


def test_no_row_is_taken_by_a_character_that_is_half_read() -> None:
    """After "add" the source's row is the one after "add", not the one after "add1", a third of U+00BD."""
    text, source, target = "add\u00bd cup", half_cup(), byte_level()
    ends = ends_of(source, text)
    assert ends == [3, 5, 5, 5, 9]
    rows = align_end_byte(np.array(ends_of(target, text)), np.array(ends))
    assert [int(r) for r in rows if r >= 0] == [0, 3, 4]


def test_a_marker_that_only_the_normalizer_tells_of_is_a_space() -> None:
    tokenizer = marked_by_normalizer()
    table = token_table(tokenizer)
    found = encode(tokenizer, table, "a cat", bos=False, eos=False)
    assert [table.pieces[i] for i in found.input_ids] == [b"a", b" c", b"a", b"t"]
    assert (found.ends.tolist(), found.exact) == ([1, 3, 4, 5], True)


@pytest.mark.parametrize("name", list(ALL))
@pytest.mark.parametrize("around", ["{}", "the{}cat", "the {} cat"])
def test_a_special_token_that_is_spelled_in_a_text_is_text(name: str, around: str) -> None:
    """ "<|endoftext|>" in a document ends nothing. What the model cannot spell is unknown, not special."""
    tokenizer = ALL[name]
    table = token_table(tokenizer)
    for token in sorted(table.special):
        text = around.format(table.pieces[token].decode())
        found = encode(tokenizer, table, text, bos=False, eos=False)
        read = set(found.input_ids.tolist()) & table.special
        assert read <= {table.roles.get("unk")}
        assert found.exact == (name in LOSSLESS) and found.ends[-1] == len(text)


def test_the_spelling_of_the_unknown_token_is_not_taken_for_its_bytes() -> None:
    """Unigram has "<unk>" among its words; as text it is <, u, n and k>, two of which it does not have."""
    tokenizer = unigram()
    table = token_table(tokenizer)
    found = encode(tokenizer, table, "the<unk>", bos=False, eos=False)
    assert found.ends.tolist()[-4:] == [4, 5, 6, 8]
    assert not found.exact


def test_normalized_spellings_of_special_tokens_are_text_too() -> None:
    """NFKC writes the wide signs U+FF1C and U+FF1E as < and >."""
    tokenizer = unigram()
    table = token_table(tokenizer)
    found = encode(tokenizer, table, "cat \uff1c/s\uff1e", bos=False, eos=False)
    assert table.roles["eos"] not in found.input_ids and found.ends[-1] == 12


def test_word_piece_that_keeps_white_space_is_taken_at_its_word() -> None:
    """With a marker for the space nothing is dropped, so no space is added, and marks inside a word count."""
    tokenizer = marked_word_piece()
    table = token_table(tokenizer)
    found = encode(tokenizer, table, "a ab\nb", bos=False, eos=False)
    assert [table.pieces[i] for i in found.input_ids] == [b"a", b" ", b"a", b"b", b"\n", b"b"]
    assert found.ends.tolist() == [1, 2, 3, 4, 5, 6]


def test_bos_and_eos_come_by_role_and_end_at_nothing_and_at_the_end() -> None:
    table = token_table(byte_fallback())
    found = encode(byte_fallback(), table, "The cat", bos=True, eos=True)
    assert (found.input_ids[0], found.input_ids[-1]) == (table.roles["bos"], table.roles["eos"])
    assert (found.ends[0], found.ends[-1]) == (0, 7)
    assert found.input_ids.dtype == found.ends.dtype == np.int32


def test_eos_ends_at_the_text_even_after_dropped_white_space() -> None:
    found = encode(word_piece(), token_table(word_piece()), "cat \n", bos=False, eos=True)
    assert found.ends.tolist()[-2:] == [3, 5]


def test_a_bos_is_wanted_by_who_puts_it_himself() -> None:
    """Defect 9: a model that was trained with a bos must get one."""
    assert [wants_bos(t) for t in (byte_fallback(), byte_level(), word_piece())] == [True, False, False]


def test_roles_are_found_whatever_their_spelling() -> None:
    tables = {name: token_table(tokenizer) for name, tokenizer in ALL.items()}
    spelled = {name: table.pieces[table.roles["eos"]] for name, table in tables.items()}
    assert spelled["byte_level"] == b"<|endoftext|>" and spelled["word_piece"] == b"[EOS]"
    assert all(table.roles["eos"] in table.special for table in tables.values())


def test_width_of_the_logits_may_differ_from_the_tokenizer() -> None:
    """Defect 10: padded logits have ids that stand for nothing; a narrower model leaves tokens out."""
    size = len(byte_level())
    padded = token_table(byte_level(), size + 5)
    assert padded.pieces[size:] == (b"",) * 5
    assert not any(padded.is_text(i) for i in range(size, size + 5))
    assert len(token_table(byte_level(), 10).pieces) == 10


def test_token_beyond_the_model_is_an_error() -> None:
    with pytest.raises(FusionError, match="beyond the model's vocabulary of 10"):
        encode(byte_level(), token_table(byte_level(), 10), "zzz", bos=False, eos=False)


def test_missing_role_is_named() -> None:
    with pytest.raises(FusionError, match="no bos token"):
        encode(byte_level(), token_table(byte_level()), "x", bos=True, eos=False)


def test_slow_tokenizer_is_refused_with_a_remedy() -> None:
    class Slow:
        name_or_path = "old/model"
        is_fast = False

    with pytest.raises(FusionError, match=r"old/model.*not fast") as caught:
        token_table(Slow())
    assert "tokenizer.json" in caught.value.remedy


def test_text_that_tokens_do_not_cover_is_an_error() -> None:
    from tokenizers import Tokenizer, models, normalizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))
    for normalizer in (None, normalizers.NFC()):
        if normalizer is not None:
            backend.normalizer = normalizer
        bare = PreTrainedTokenizerFast(tokenizer_object=backend)
        with pytest.raises(FusionError, match="drops 'b'"):
            encode(bare, token_table(bare), "ab", bos=False, eos=False)


def test_half_a_surrogate_pair_is_an_error() -> None:
    with pytest.raises(FusionError, match="lone surrogate at character 1"):
        encode(byte_level(), token_table(byte_level()), "a\ud83d", bos=False, eos=False)


def test_character_bytes_are_those_of_utf8() -> None:
    text = "aé日😀"
    assert character_bytes(text).tolist() == [0, 1, 3, 6, 10]
    assert character_bytes(text)[-1] == len(text.encode())


def test_real_sequences_of_two_families_are_reproduced(shared: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    texts = [row["text"] for row in json.loads((shared / "golden/align_REF_uni8k_to_bpe8k.json").read_text())]
    for name in ("bpe8k", "uni8k"):
        tokenizer = PreTrainedTokenizerFast.from_pretrained(shared / "golden/toks" / name)
        table = token_table(tokenizer)
        for text in texts:
            assert token_spans(tokenizer, table, text).ends[-1] == len(text.encode())


# --- what a tokenizer changes is known


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("text", HARD_TEXTS)
def test_ends_of_lossless_families_are_exact(name: str, text: str) -> None:
    assert encode(ALL[name], token_table(ALL[name]), text, bos=False, eos=True).exact


@pytest.mark.parametrize(
    ("tokenizer", "text"),
    [
        (word_piece(lowercase=True), "THE cat"),  # case folded
        (word_piece(), "The  cat\n"),  # white space dropped
        (unigram(), "\ufb01n"),  # NFKC: a ligature becomes two letters
        (composed_byte_level(), "e\u0301"),  # NFC: two characters become one
        (unigram(), "cat 日本"),  # unknown characters
    ],
    ids=["lower", "white space", "NFKC", "NFC", "unknown"],
)
def test_texts_that_a_tokenizer_changes_are_marked(tokenizer: Any, text: str) -> None:
    table = token_table(tokenizer)
    assert not token_spans(tokenizer, table, text).exact
    assert not encode(tokenizer, table, text, bos=False, eos=False).exact


def test_only_the_texts_that_are_changed_are_marked() -> None:
    """Lower-casing changes nothing where there is nothing to lower."""
    tokenizer = word_piece(lowercase=True)
    table = token_table(tokenizer)
    found = [token_spans(tokenizer, table, text).exact for text in (" the cat", "the Cat")]
    assert found == [True, False]


def spans_cover_once(name: str, text: str) -> None:
    """Tokens follow one another from byte 0 to the last; exact ones are also spelled by their bytes."""
    table = token_table(ALL[name])
    spans, data = token_spans(ALL[name], table, text), text.encode()
    assert (spans.starts <= spans.ends).all() and (np.diff(spans.ends) >= 0).all()
    if spans.exact:
        assert spans.starts.tolist() == [0, *spans.ends[:-1]][: len(spans.ids)]
        read = [data[a:b] for a, b in zip(spans.starts, spans.ends, strict=True)]
        assert b"".join(read) == data
        spelled = [table.pieces[i] for i in spans.ids]
        assert all(r == s or b" " + r == s for r, s in zip(read, spelled, strict=True))


@settings(max_examples=80)
@given(
    name=st.sampled_from(sorted(ALL)),
    text=st.text(st.sampled_from("aTe \t\r\n\x00.é\u0301日本语हिन्दी한😀👍🏽\u200dшع"), max_size=30),
)
def test_every_byte_of_mixed_scripts_is_covered_once(name: str, text: str) -> None:
    spans_cover_once(name, text)


@pytest.mark.parametrize("name", LOSSLESS)
def test_very_long_tokens_and_texts_are_covered_once(name: str) -> None:
    spans_cover_once(name, "x" * 5000)
    spans_cover_once(name, " " * 3000 + "the cat\r\n" * 50)


# --- what an end claims is true

NORMALISED = {
    f"{name} {kind}": normalised(name, kind) for name in ALL for kind in ("NFC", "NFKC", "NFD", "Lowercase")
}
TOYS = (
    ALL
    | NORMALISED
    | {
        "composed": composed_byte_level(),
        "crossing": crossing_byte_level(),
        "half cup": half_cup(),
        "marked": marked_word_piece(),
    }
)
WHITE_SPACE = b" \t\r\n"
table_of = cache(token_table)


def bytes_read(tokenizer: Any, text: str) -> bytes:
    """What the tokens of a text stand for, but for white space, which some tokenizers drop or add."""
    table = table_of(tokenizer)
    return pieces_of(table, token_spans(tokenizer, table, text).ids).translate(None, WHITE_SPACE)


def joins_the_next(tokenizer: Any, text: str, place: int) -> bool:
    """Whether the normalizer makes one of the characters before and after a place in the text.

    Or NFKC on the way to something else: the accent after U+FB01 belongs to its i, and may be stripped later.
    """
    normalizer = tokenizer.backend_tokenizer.normalizer
    if normalizer is None:
        return False
    forms = (normalizer.normalize_str, lambda t: unicodedata.normalize("NFKC", t))
    return any(not form(text).startswith(form(text[:place])) for form in forms)


def claim_is_true(tokenizer: Any, text: str, end: int, read: bytes) -> bool:
    """A token with end byte `end` has read exactly the text up to there."""
    data = text.encode()
    place = len(data[:end].decode(errors="ignore"))
    if joins_the_next(tokenizer, text, place):
        return True  # the text up to there is none that the tokenizer would see
    inside = data[len(text[:place].encode()) : end]  # bytes of a character that is not read to its end
    expected = bytes_read(tokenizer, text[:place]) + inside.translate(None, WHITE_SPACE)
    return read.translate(None, WHITE_SPACE) == expected


@pytest.mark.slow
@settings(max_examples=400)
@given(
    name=st.sampled_from(sorted(TOYS)),
    text=st.text(
        st.sampled_from("aTeu1 \t\n.=½é\u0301\ufb01\uff21日한\u1112\u1161\u11ab😀\u2581İ…"), max_size=10
    ),
)
def test_ends_ascend_and_claim_no_byte_that_was_not_read(name: str, text: str) -> None:
    """Of tokens that end at the same byte the last counts, as it does for alignment."""
    tokenizer = TOYS[name]
    table = table_of(tokenizer)
    try:
        spans = token_spans(tokenizer, table, text)
    except FusionError:  # characters missing from these small vocabularies
        return
    assert (np.diff(spans.ends, prepend=0) >= 0).all()
    for token in np.flatnonzero(np.diff(spans.ends, append=-1)):
        read = pieces_of(table, spans.ids[: token + 1])
        assert claim_is_true(tokenizer, text, int(spans.ends[token]), read), (token, spans)
