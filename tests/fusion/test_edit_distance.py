"""The search finds what looking at every candidate finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.edit_distance import nearest_candidates
from fusion.ragged import Ragged, keys, of_bytes, of_text, picked


def edits(a: str, b: str) -> int:
    """Levenshtein distance as in a textbook."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(before + (x != y), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def brute_force(queries: list[str], candidates: list[str], threshold: float | None) -> list[tuple[int, int]]:
    """(distance, place) of the first of the nearest candidates that the threshold allows."""
    share = 1.0 if threshold is None else threshold  # no distance exceeds the longer length
    out = []
    for query in queries:
        judged = [(edits(query, c), place, max(len(query), len(c))) for place, c in enumerate(candidates)]
        out.append(min(((d, p) for d, p, longer in judged if d <= share * longer + 1e-9), default=(-1, -1)))
    return out


def found(queries: list[str], candidates: list[str], threshold: float | None) -> list[tuple[int, int]]:
    place, distance = nearest_candidates(of_text(queries), of_text(candidates), threshold=threshold)
    return list(zip(distance.tolist(), place.tolist(), strict=True))


thresholds = st.sampled_from([None, 0.0, 0.2, 0.34, 0.5, 0.99])
few_letters = st.text("abé", max_size=6)
long_words = st.builds(lambda n, a, b: a + "ab" * n + b, st.integers(30, 36), few_letters, few_letters)
words = st.lists(few_letters, max_size=14)


@pytest.mark.slow
@settings(max_examples=150)
@given(queries=words, candidates=words, threshold=thresholds)
def test_short_words(queries: list[str], candidates: list[str], threshold: float | None) -> None:
    """With empty words, duplicates, many ties, and letters that only the queries have."""
    queries = [q.replace("b", "ø") for q in queries]
    assert found(queries, candidates, threshold) == brute_force(queries, candidates, threshold)


@settings(max_examples=40)
@given(
    queries=st.lists(long_words | few_letters, max_size=4),
    candidates=st.lists(long_words | few_letters, max_size=6),
    threshold=thresholds,
)
def test_words_longer_than_a_machine_word(
    queries: list[str], candidates: list[str], threshold: float | None
) -> None:
    assert found(queries, candidates, threshold) == brute_force(queries, candidates, threshold)


RARE = [chr(0x100 + n) for n in range(150)]  # as candidates of their own: more symbols than there are bits


@settings(max_examples=60)
@given(queries=st.lists(st.text(RARE, max_size=4), max_size=3), others=st.lists(st.text(RARE, max_size=4)))
def test_alphabets_with_more_symbols_than_bits(queries: list[str], others: list[str]) -> None:
    candidates = others + RARE
    assert found(queries, candidates, None) == brute_force(queries, candidates, None)


repetitive = st.lists(st.text("aeiou", max_size=12), max_size=8)


@settings(max_examples=60)
@given(queries=repetitive, others=repetitive)
def test_words_that_repeat_letters(queries: list[str], others: list[str]) -> None:
    """aab lacks the second a of ab, but never more letters than it takes edits."""
    assert found(queries, others, None) == brute_force(queries, others, None)


@pytest.mark.parametrize("length", [63, 64, 65])
def test_the_length_at_which_the_word_is_full(length: int) -> None:
    """One symbol changed at the end, which the last bit of the word stands for."""
    assert found(["a" * (length - 1) + "b"], ["b" * length, "a" * length], None) == [(1, 1)]


def test_nearest_first_then_lowest_place() -> None:
    """cat: bat, cut and the longer cats are one away; the first listed wins."""
    assert found(["cat"], ["dog", "cats", "bat", "cut"], None) == [(1, 1)]
    assert found(["cat"], ["dog", "bat", "cats", "cat", "cat"], None) == [(0, 3)]


def test_a_worse_candidate_is_not_taken_for_a_lower_place() -> None:
    assert found(["abc", "abcdef"], ["abcxyz", "abcdex"], None) == [(3, 0), (1, 1)]


def test_threshold_first_then_distance() -> None:
    """ab: a is 1 edit in 2 (50 %), abcd is 2 in 4; of the allowed the least distance wins."""
    assert found(["ab"], ["abcd", "a"], 0.5) == [(1, 1)]
    assert found(["ab"], ["abcd", "a"], 0.49) == [(-1, -1)]


def test_nothing_to_search() -> None:
    assert found([], ["a"], None) == []
    assert found(["a", ""], [], None) == [(-1, -1), (-1, -1)]
    assert found(["", "ab"], [""], None) == [(0, 0), (2, 0)]


def test_bytes_and_characters_are_counted_as_such() -> None:
    """é is two bytes and one character; a lone surrogate is a character."""
    assert nearest_candidates(of_bytes(["é".encode()]), of_bytes([b"e"]))[1].tolist() == [2]
    assert nearest_candidates(of_text(["é"]), of_text(["e"]))[1].tolist() == [1]
    assert nearest_candidates(of_text(["\ud800"]), of_text(["e", "\ud800"]))[0].tolist() == [1]


@given(pieces=st.lists(st.binary(max_size=5), max_size=10), data=st.data())
def test_sequences_are_picked_whole(pieces: list[bytes], data: st.DataObject) -> None:
    places = data.draw(st.lists(st.sampled_from(range(len(pieces))), max_size=6) if pieces else st.just([]))
    chosen: Ragged = picked(of_bytes(pieces), np.array(places, np.int64))
    assert keys(chosen) == keys(of_bytes([pieces[i] for i in places]))
