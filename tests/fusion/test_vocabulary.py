"""Tokens are matched by what they stand for; near matches are the nearest, by id, and refused when bad."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from fusion.errors import FusionError
from fusion.tokens import TokenTable, token_table
from fusion.vocabulary import VocabularyMap, map_exact, map_minimum_edit, map_prefix
from tests.fusion.toy_tokenizers import byte_fallback, byte_level, families, word_piece


def table(*pieces: bytes, special: tuple[int, ...] = (), **roles: int) -> TokenTable:
    return TokenTable(pieces, roles, frozenset(special) | frozenset(roles.values()))


def test_exact_is_by_bytes_across_spellings() -> None:
    """Defect 3: a newline is a newline, spelled U+010A by one tokenizer and <0x0A> by the other."""
    source, target = token_table(byte_fallback()), token_table(byte_level())
    found = map_exact(source, target)
    for piece in (b"\n", b"\t", b" ", b"\xc3", b"a", b"."):
        assert target.pieces[found.target_ids[source.pieces.index(piece)]] == piece
    for token in np.flatnonzero(found.target_ids >= 0).tolist():
        if source.is_text(token):
            assert source.pieces[token] == target.pieces[found.target_ids[token]]


def test_identity() -> None:
    for tokenizer in families().values():
        names = token_table(tokenizer)
        found = map_exact(names, names)
        doubled = {p for p in names.pieces if names.pieces.count(p) > 1}
        for token, piece in enumerate(names.pieces):
            assert found.target_ids[token] == token or piece in doubled
        assert map_minimum_edit(names, names, threshold=0.3).target_ids.tolist() == found.target_ids.tolist()
    assert VocabularyMap.identity(3).target_ids.tolist() == [0, 1, 2]


def test_every_map_knows_the_sizes_that_it_leads_between() -> None:
    source, target = table(b"a", b"b", b"ab"), table(b"a", b"b")
    maps = (
        map_exact(source, target),
        map_minimum_edit(source, target, threshold=0.3),
        map_prefix(source, token_table(byte_level()), byte_level()),
        VocabularyMap.identity(3),
    )
    assert [m.target_size for m in maps] == [2, 2, len(byte_level()), 3]


def test_a_map_that_leads_elsewhere_is_refused() -> None:
    """Also one that was read from its arrays alone, as far as its tokens tell."""
    known = map_exact(table(b"a", b"b", b"c"), table(b"a", b"b"))
    bare = VocabularyMap(known.target_ids, known.distance)
    for found in (known, bare):
        found.check(3, 2)
        for sizes in ((2, 3), (3, 1)):
            with pytest.raises(FusionError, match=f"source has {sizes[0]} and the target {sizes[1]}"):
                found.check(*sizes)
    bare.check(3, 9)
    with pytest.raises(FusionError, match="is from 3 tokens to 2, but"):
        known.check(3, 9)


def test_specials_meet_by_role_and_never_text() -> None:
    """Defect 10: <eos> is </s>, not the text "eos"; an unused control token is nothing."""
    source = table(b"<eos>", b"unused", b"</s>", b"<tool>", special=(1, 3), eos=0)
    target = table(b"<eos>", b"unused", b"</s>", b"<tool>", special=(3,), eos=2)
    assert map_exact(source, target).target_ids.tolist() == [2, -1, -1, 3]
    assert map_minimum_edit(source, target, threshold=0.5).target_ids.tolist()[:2] == [2, -1]


def test_a_token_of_several_roles_goes_by_its_end() -> None:
    source = table(b"<|endoftext|>", bos=0, eos=0, unk=0, pad=0)
    target = table(b"<s>", b"</s>", b"<unk>", bos=0, eos=1, unk=2)
    assert map_exact(source, target).target_ids.tolist() == [1]


def test_ids_without_meaning_match_nothing() -> None:
    assert map_exact(table(b"", b"a"), table(b"", b"a")).target_ids.tolist() == [-1, 1]
    assert map_minimum_edit(table(b""), table(b"", b"a"), threshold=0.9).target_ids.tolist() == [-1]


def test_lowest_id_of_equal_targets() -> None:
    """Defect 8: never by the order in which a vocabulary happens to be listed."""
    assert map_exact(table(b"a"), table(b"x", b"a", b"a")).target_ids.tolist() == [1]
    found = map_minimum_edit(table(b"abcd"), table(b"zzzz", b"abcx", b"abyd"), threshold=0.3)
    assert (found.target_ids.tolist(), found.distance.tolist()) == ([1], [1])


def test_threshold_is_relative_to_the_longer() -> None:
    """abc/abcd: one edit in four bytes, 25 %."""
    source, target = table(b"abc"), table(b"abcd")
    assert map_minimum_edit(source, target, threshold=0.25).target_ids.tolist() == [0]
    refused = map_minimum_edit(source, target, threshold=0.24)
    assert (refused.target_ids.tolist(), refused.distance.tolist()) == ([-1], [-1])


def test_newline_is_never_taken_for_an_exclamation_mark() -> None:
    """Defect 3: one byte for another is 100 % of it; the mass stays left over instead."""
    found = map_minimum_edit(table(b"\n", "’".encode()), table(b"!", b"'"), threshold=0.34)
    assert found.target_ids.tolist() == [-1, -1]


@pytest.mark.parametrize("threshold", [-0.1, 1.0])
def test_threshold_outside_its_range_is_an_error(threshold: float) -> None:
    with pytest.raises(FusionError, match="threshold"):
        map_minimum_edit(table(b"a"), table(b"a"), threshold=threshold)


def slow_minimum_edit(source: TokenTable, target: TokenTable, threshold: float) -> list[tuple[int, int]]:
    """Every pair, by definition."""
    out = []
    for piece in source.pieces:
        if not piece:
            out.append((-1, -1))
            continue
        near = [
            (Levenshtein.distance(list(piece), list(other)), token)
            for token, other in enumerate(target.pieces)
            if target.is_text(token)
        ]
        near = [(d, i) for d, i in near if d <= threshold * max(len(piece), len(target.pieces[i])) + 1e-9]
        out.append(min(near, default=(-1, -1)))
    return out


short = st.lists(
    st.binary(max_size=7).map(lambda b: bytes(c % 3 + 97 for c in b))  # with ids that stand for nothing
    | st.integers(60, 68).map(lambda n: b"ab" * (n // 2) + b"c" * (n % 3)),
    max_size=15,
)


@pytest.mark.slow
@settings(max_examples=150)
@given(source=short, target=short, threshold=st.sampled_from([0.0, 0.2, 0.34, 0.5, 0.8]))
def test_minimum_edit_is_the_definition(source: list[bytes], target: list[bytes], threshold: float) -> None:
    ours, theirs = table(*source), table(*target)
    found = map_minimum_edit(ours, theirs, threshold=threshold)
    expected = slow_minimum_edit(ours, theirs, threshold)
    assert list(zip(found.distance.tolist(), found.target_ids.tolist(), strict=True)) == expected


# --- the token that begins to write the bytes


def test_the_target_begins_with_the_token_that_it_would_write_first() -> None:
    """GPT-2's kind reads " cats" as it stands; the first of its tokens is the one."""
    target, tokenizer = token_table(byte_level()), byte_level()
    texts = [" cats", "cats", "dogs and", "\n\n    return", "\u65e5\u672c"]
    found = map_prefix(table(*(text.encode() for text in texts)), target, tokenizer)
    first = [tokenizer(text)["input_ids"][0] for text in texts]
    assert found.target_ids.tolist() == first
    left = [len(text.encode()) - len(target.pieces[i]) for text, i in zip(texts, first, strict=True)]
    assert found.distance.tolist() == left


def test_the_space_that_a_tokenizer_puts_before_a_text_is_not_the_sources() -> None:
    """Llama-2's kind writes "catsx" on its own as " cat"-something; after other text it begins with "cat"."""
    target, tokenizer = token_table(byte_fallback()), byte_fallback()
    found = map_prefix(table(b" catsx", b"catsx", b" ", b"  The"), target, tokenizer)
    pieces = [target.pieces[i] for i in found.target_ids]
    assert pieces == [b" cats", b"cat", b" ", b" "]
    assert found.distance.tolist() == [1, 2, 0, 4]


@pytest.mark.parametrize("puts_space", [False, True])
def test_the_first_token_written_goes_before_the_longest_beginning(puts_space: bool) -> None:
    """b and c are joined first, so "abc" is written a, bc, although there is a token "ab" (and " ab")."""
    pieces = ["<unk>", "\n", "\u2581", "a", "b", "c", "bc", "ab", "\u2581a", "\u2581ab"]
    merges = [("b", "c"), ("\u2581", "a"), ("a", "b"), ("\u2581a", "b")]
    tokenizer = Tokenizer(models.BPE({p: i for i, p in enumerate(pieces)}, merges, unk_token="<unk>"))
    marks = [normalizers.Prepend("\u2581")] * puts_space + [normalizers.Replace(" ", "\u2581")]
    tokenizer.normalizer = normalizers.Sequence(marks)
    tokenizer.decoder = decoders.Replace("\u2581", " ")
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
    target = token_table(wrapped)
    assert target.pieces[9] == b" ab"
    found = map_prefix(table(b"abc", b" abc", b"abcd"), target, wrapped)
    assert [target.pieces[i] for i in found.target_ids] == [b"a", b" a", b"ab"]  # d is unknown: no tokens
    assert found.distance.tolist() == [2, 2, 2]


def test_word_pieces_begin_words_with_their_space() -> None:
    target, tokenizer = token_table(word_piece()), word_piece()
    found = map_prefix(table(b" catss", b"at.", b"\n"), target, tokenizer)
    begun = tokenizer("catss", add_special_tokens=False)["input_ids"][0]
    assert found.target_ids[0] == begun and target.pieces[begun].startswith(b" ")
    assert target.pieces[found.target_ids[1]] in (b"a", b"at")  # continues a word
    assert (found.target_ids[2], found.distance[2]) == (-1, -1)  # white space is no token of its own


def test_bytes_that_are_no_text_go_to_their_longest_beginning() -> None:
    """Parts of characters of three bytes, of which the target has the first and the first two."""
    source = table(b"\xe6\x98", b"\xe6\x97\xa5\xe6", b"\xff\xfe", b"\x01")
    target = table(b"a", b"\xe6", b"\xe6\x97", b"\xff\xfe\xfd")
    found = map_prefix(source, target, byte_level())
    assert found.target_ids.tolist() == [1, 2, -1, -1]
    assert found.distance.tolist() == [1, 2, -1, -1]


def test_text_that_spells_like_a_special_token_is_not_that_token() -> None:
    target = token_table(byte_level())
    end = target.roles["eos"]
    found = map_prefix(table(b"<|endoftext|>!"), target, byte_level())
    assert found.target_ids[0] not in (end, -1)
    assert b"<|endoftext|>!".startswith(target.pieces[found.target_ids[0]])


@pytest.mark.parametrize("ours", list(families()))
@pytest.mark.parametrize("theirs", list(families()))
def test_a_prefix_map_covers_the_beginning_of_every_token(ours: str, theirs: str) -> None:
    tokenizer = families()[theirs]
    source, target = token_table(families()[ours]), token_table(tokenizer)
    exact, found = map_exact(source, target), map_prefix(source, target, tokenizer)
    for token, (counterpart, left) in enumerate(zip(found.target_ids, found.distance, strict=True)):
        if exact.target_ids[token] >= 0 or not source.is_text(token):
            assert counterpart == exact.target_ids[token]
        elif counterpart >= 0:
            assert target.is_text(counterpart)
            assert source.pieces[token].startswith(target.pieces[counterpart])
            assert left == len(source.pieces[token]) - len(target.pieces[counterpart]) > 0
        else:
            assert not any(
                source.pieces[token].startswith(piece)
                for i, piece in enumerate(target.pieces)
                if target.is_text(i)
            )


def test_slow_tokenizer_is_refused_with_a_remedy() -> None:
    class Slow:
        name_or_path = "old/model"
        is_fast = False

    with pytest.raises(FusionError, match=r"old/model.*not fast") as caught:
        map_prefix(table(b"a"), table(b"a"), Slow())
    assert "tokenizer.json" in caught.value.remedy


def test_ids_beyond_the_models_vocabulary_begin_nothing() -> None:
    """A tokenizer may know more tokens than the model has."""
    narrow = token_table(byte_level(), 100)
    found = map_prefix(table(b" cats", b"\xff\xfe"), narrow, byte_level())
    assert all(-1 <= i < 100 for i in found.target_ids)


@pytest.mark.slow
def test_nearest_is_the_authors_where_both_judge_the_same_letters(shared: Path) -> None:
    """Their map of 8k tokens to 8k runs on spelling, without threshold, in id order.

    Where a token and its match are printable ASCII, spelling and bytes are the same letters: there ours is
    theirs, if it is within the threshold (a worse one may give way to a longer token at the same distance).
    """
    folders = [shared / "golden/toks" / name for name in ("uni8k", "bpe8k")]
    source, target = (token_table(PreTrainedTokenizerFast.from_pretrained(f)) for f in folders)
    golden = json.loads((shared / "golden/vocabmap_uni8k_to_bpe8k_REF_full.json").read_text())["map"]
    found = map_minimum_edit(source, target, threshold=0.34)
    compared = [
        (target.pieces[found.target_ids[token]], theirs.encode())
        for token, (spelled, theirs) in enumerate(golden)
        if source.is_text(token) and (spelled + theirs).isascii() and spelled.isprintable()
        if Levenshtein.distance(spelled, theirs) <= 0.34 * max(len(spelled), len(theirs))
    ]
    assert len(compared) > 2000
    assert all(ours == theirs for ours, theirs in compared)
