"""Spellings as tokenizers write them, and the released code's map between them."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein
from transformers import PreTrainedTokenizerFast

from fusion.errors import FusionError
from fusion.spelling import Spellings, map_same_spelling, map_spelling, spellings
from tests.fusion.toy_tokenizers import byte_fallback, byte_level, families, marked_word_piece, word_piece


def test_markers_of_the_families() -> None:
    found = {name: spellings(tokenizer).marker for name, tokenizer in families().items()}
    assert found == {
        "byte_level": "\u0120",
        "byte_fallback": "\u2581",
        "unigram": "\u2581",
        "word_piece": "",
        "word_piece_lower": "",
    }
    assert spellings(marked_word_piece()).marker == "\u2581"


def test_pieces_are_in_id_order_and_as_wide_as_the_model() -> None:
    tokenizer = byte_fallback()
    found = spellings(tokenizer, 500)
    assert len(found.pieces) == 500
    assert found.pieces[499] == ""
    assert found.pieces[3 + 10] == "<0x0A>"
    assert list(spellings(tokenizer, 7).pieces) == [tokenizer.convert_ids_to_tokens(i) for i in range(7)]


def test_the_mark_of_the_space_is_translated_and_left_out() -> None:
    source, target = Spellings(("\u2581a\u2581", "b"), "\u2581"), Spellings(("\u0120a",), "\u0120")
    assert source.like(target) == ("\u0120a\u0120", "b")
    assert [source.bare(i) for i in (0, 1)] == ["a", "b"]
    dropping = Spellings(("a", "##b"), "")
    assert dropping.like(target) == dropping.pieces
    assert dropping.bare(1) == "##b"


def test_same_spelling_is_by_marks_and_includes_special_tokens() -> None:
    source = Spellings(("<s>", "\u2581a", "", "b", "<0x0A>"), "\u2581")
    target = Spellings(("\u0120a", "a", "", "<s>", "\u010a"), "\u0120")
    found = map_same_spelling(source, target)
    assert (found.target_ids.tolist(), found.distance.tolist()) == ([3, 0, -1, -1, -1], [0, 0, -1, -1, -1])


def test_any_spelling_is_mapped_however_far() -> None:
    """Defect 3, reproduced: a newline's escape has no letter in common with "!" and yet is mapped to it."""
    source = Spellings(("\n", "\u2581cats", ""), "\u2581")
    target = Spellings(("", "!", "\u0120cat", "\u010a"), "\u0120")
    found = map_spelling(source, target)
    assert (found.target_ids.tolist(), found.distance.tolist()) == ([1, 2, -1], [1, 1, -1])


pieces = st.lists(st.text("ab\u2581<", min_size=0, max_size=5), max_size=10)


@settings(max_examples=80)
@given(source=pieces, target=pieces)
def test_map_is_the_first_of_the_nearest_in_id_order(source: list[str], target: list[str]) -> None:
    ours, theirs = Spellings(tuple(source), "\u2581"), Spellings(tuple(target), "\u0120")
    expected = []
    for token in range(len(source)):
        spelled = ours.respell(token, theirs)
        judged = [(Levenshtein.distance(spelled, t), i) for i, t in enumerate(target) if t]
        expected.append(min(judged, default=(-1, -1)) if spelled else (-1, -1))
    found = map_spelling(ours, theirs)
    assert list(zip(found.distance.tolist(), found.target_ids.tolist(), strict=True)) == expected


def test_a_vocabulary_maps_to_itself() -> None:
    for tokenizer in (*families().values(), marked_word_piece()):
        own = spellings(tokenizer)
        for found in (map_spelling(own, own), map_same_spelling(own, own)):
            assert found.target_ids.tolist() == list(range(len(own.pieces)))


@pytest.fixture(scope="module")
def eight_thousand(shared: Path) -> tuple[Spellings, Spellings]:
    """A Unigram and a byte-level vocabulary of 8,000 tokens each."""
    folders = [shared / "golden/toks" / name for name in ("uni8k", "bpe8k")]
    source, target = (spellings(PreTrainedTokenizerFast.from_pretrained(folder)) for folder in folders)
    return source, target


def test_all_tokens_are_mapped_as_the_authors_map_them(
    shared: Path, eight_thousand: tuple[Spellings, Spellings]
) -> None:
    source, target = eight_thousand
    golden = json.loads((shared / "golden/vocabmap_uni8k_to_bpe8k_REF_full.json").read_text())["map"]
    found = map_spelling(source, target)
    assert len(golden) == len(source.pieces) == 8000
    ours = [
        [spelled, target.pieces[token]]
        for spelled, token in zip(source.like(target), found.target_ids, strict=True)
    ]
    assert ours == golden


def test_same_spelling_is_where_the_distance_is_nothing(eight_thousand: tuple[Spellings, Spellings]) -> None:
    near, same = map_spelling(*eight_thousand), map_same_spelling(*eight_thousand)
    assert (same.target_ids == np.where(near.distance == 0, near.target_ids, -1)).all()
    assert 1000 < (same.target_ids >= 0).sum() < 8000


def test_a_sample_of_a_large_map_from_its_spellings_alone(shared: Path) -> None:
    """The authors' map of 7,706 real tokens: no target token named there is nearer than theirs."""
    golden = json.loads((shared / "golden/vocabmap_gemma3_to_smollm2_REF_needed.json").read_text())
    target = Spellings(tuple(sorted(set(golden.values()))), "\u0120")
    source = Spellings(tuple(golden), "\u0120")
    found = map_spelling(source, target)
    theirs = [Levenshtein.distance(a, b) for a, b in golden.items()]
    assert found.distance.tolist() == theirs
    equal = [target.pieces[token] == b for token, b in zip(found.target_ids, golden.values(), strict=True)]
    assert all(np.array(equal)[np.array(theirs) == 0])


def test_byte_level_and_word_piece_have_spellings_in_common() -> None:
    found = map_same_spelling(spellings(word_piece()), spellings(byte_level()))
    assert (found.target_ids >= 0).sum() > 10


def test_slow_tokenizer_is_refused_with_a_remedy() -> None:
    class Slow:
        name_or_path = "old/model"
        is_fast = False

    with pytest.raises(FusionError, match=r"old/model.*not fast") as caught:
        spellings(Slow())
    assert "tokenizer.json" in caught.value.remedy
