"""The probability that a source gives to the bytes of the target's next token, however they are split."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fusion.alignment import align_end_byte
from fusion.distributions import Distributions, TopK
from fusion.errors import FusionError
from fusion.next_token import Continuation, follow_text
from fusion.projection import project
from fusion.tokens import Encoding
from fusion.vocabulary import VocabularyMap


def read(*windows: tuple[list[int], list[int], list[float]]) -> Distributions:
    """Windows as (ids, ends, probability of each next token)."""
    encodings = [Encoding(np.array(i, np.int32), np.array(e, np.int32)) for i, e, _ in windows]
    out = Distributions.create(encodings, [False] * len(windows), k=1, vocabulary_size=99)
    for number, (ids, _, gold) in enumerate(windows):
        n = len(gold)
        found = np.array(ids[1:], np.int32)[:, None], np.log(np.array(gold))[:, None].astype(np.float16)
        out.put(number, TopK(*found, np.zeros(n, np.float32), np.log(np.array(gold, np.float32))))
    return out


# bos, then "ab|c" for the target and "a|b|c" for the source: after bos the source gives 0.5 to "a", then 0.4
# to "b", so 0.2 to the target's "ab"; after "ab" both read "c".
TARGET = read(([0, 10, 11], [0, 2, 3], [0.3, 0.9]))
SOURCE = read(([0, 20, 21, 22], [0, 1, 2, 3], [0.5, 0.4, 0.7]))


def test_several_source_tokens_write_one_target_token() -> None:
    found = follow_text(TARGET, SOURCE, np.array([0, 2], np.int32))
    assert found.target_token.tolist() == [10, 11]
    assert found.source_token.tolist() == [20, 22]
    np.testing.assert_allclose(found.probability, [0.2, 0.7], rtol=1e-3)


def test_one_source_token_writes_several_target_tokens() -> None:
    """The reverse: "ab" at 0.3 begins with "a", so "a" gets all of it."""
    found = follow_text(SOURCE, TARGET, np.array([0, -1, 1], np.int32))
    np.testing.assert_allclose(found.probability, [0.3, 0.0, 0.9], rtol=1e-3)


def test_a_window_ends_where_it_ends() -> None:
    """The second window's bytes start at 0 again: nothing is multiplied over the border."""
    twice = read(([0, 10, 11], [0, 2, 3], [0.3, 0.9]), ([0, 10, 11], [0, 2, 3], [0.3, 0.9]))
    source = read(
        ([0, 20, 21, 22], [0, 1, 2, 3], [0.5, 0.4, 0.7]), ([0, 20, 21, 22], [0, 1, 2, 3], [0.25, 0.8, 0.6])
    )
    found = follow_text(twice, source, np.array([0, 2, 3, 5], np.int32))
    np.testing.assert_allclose(found.probability, [0.2, 0.7, 0.2, 0.6], rtol=1e-3)


def test_projection_moves_the_texts_mass_to_the_targets_token() -> None:
    """0.2 of the source's 0.5 on "a" goes to "ab"; the other 0.3 stays with the target's own "a" (5)."""
    to_target = np.full(99, -1, np.int32)
    to_target[20], to_target[22] = 5, 11
    table = VocabularyMap(to_target, np.where(to_target >= 0, 0, -1).astype(np.int32))
    rows = np.array([0, 2], np.int32)
    ids, logprobs = np.array([[20], [0], [22]]), np.log(np.array([[0.5], [1.0], [0.7]]))
    left = np.array([0.5, 0.0, 0.3])
    found = project(ids, logprobs, left, rows, table, continuation=follow_text(TARGET, SOURCE, rows))
    first = dict(zip(found.ids[0].tolist(), found.probabilities[0].tolist(), strict=True))
    assert first == {5: pytest.approx(0.3, rel=1e-3), 10: pytest.approx(0.2, rel=1e-3)}
    assert found.ids[1].tolist() == [11, -1]  # the map takes "c" there already: nothing is moved
    np.testing.assert_allclose(found.leftover, [0.5, 0.3], atol=1e-3)


def test_a_next_token_outside_the_list_is_taken_from_the_leftover() -> None:
    rows = np.array([0, -1], np.int32)
    table = VocabularyMap(np.array([7], np.int32).repeat(99), np.zeros(99, np.int32))
    found = project(
        np.array([[30]]), np.log([[0.6]]), np.array([0.4]), rows, table,
        continuation=follow_text(TARGET, SOURCE, rows),
    )  # fmt: skip
    assert found.ids[0].tolist() == [7, 10]
    np.testing.assert_allclose(found.probabilities[0], [0.6, 0.2], rtol=1e-3)
    np.testing.assert_allclose(found.leftover, [0.2, 1.0], atol=1e-3)


def test_equal_readers_move_nothing() -> None:
    rows = np.arange(2, dtype=np.int32)
    identity = VocabularyMap.identity(99)
    plain = project(TARGET.ids, TARGET.logprobs, TARGET.leftover, rows, identity)
    moved = project(
        TARGET.ids, TARGET.logprobs, TARGET.leftover, rows, identity,
        continuation=follow_text(TARGET, TARGET, rows),
    )  # fmt: skip
    assert moved.ids[:, :1].tolist() == plain.ids.tolist() and (moved.ids[:, 1] == -1).all()
    np.testing.assert_array_equal(moved.probabilities[:, :1], plain.probabilities)


def test_rows_that_read_other_bytes_move_nothing() -> None:
    """After "ab" the target is not where the source is after "a"."""
    found = follow_text(TARGET, SOURCE, np.array([-1, 1], np.int32))
    assert found.probability.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("changed", ["target", "source"])
def test_windows_that_a_tokenizer_changed_move_nothing(changed: str) -> None:
    """Their tokens stand for other bytes than the text's (an unknown token for any), so nothing is moved; nor
    does the product run into the next window, whatever comes there."""
    read_as = {"target": TARGET, "source": SOURCE}
    read_as[changed] = dataclasses.replace(read_as[changed], exact=np.array([False]))
    found = follow_text(read_as["target"], read_as["source"], np.array([0, 2], np.int32))
    assert found.probability.tolist() == [0.0, 0.0]


def test_no_rows() -> None:
    nothing = np.full(2, -1, np.int32)
    assert follow_text(TARGET, SOURCE, nothing).probability.tolist() == [0.0, 0.0]
    assert len(follow_text(read(), read(), np.empty(0, np.int32)).probability) == 0


def test_other_windows_are_refused() -> None:
    with pytest.raises(FusionError, match="1 windows and the source 0"):
        follow_text(TARGET, read(), np.full(2, -1, np.int32))


def cuts(draw: st.DrawFn, size: int) -> NDArray[np.int32]:
    inner = draw(st.sets(st.integers(1, size - 1)))
    return np.array([0, *sorted(inner), size], np.int32)


@st.composite
def two_readers(draw: st.DrawFn) -> tuple[Distributions, Distributions]:
    """Two cuts of the same bytes, with probabilities for each next token."""
    size = draw(st.integers(2, 12))
    models = []
    for _ in range(2):
        ends = cuts(draw, size)
        gold = draw(st.lists(st.floats(0.05, 1.0), min_size=len(ends) - 1, max_size=len(ends) - 1))
        models.append(read(([0, *range(1, len(ends))], ends.tolist(), gold)))
    return models[0], models[1]


@settings(max_examples=200)
@given(two_readers())
def test_against_a_loop(readers: tuple[Distributions, Distributions]) -> None:
    """The definition, token by token; and never more than the source gives to its own next token."""
    target, source = readers
    rows = align_end_byte(target.ends[:-1], source.ends[:-1])
    found = follow_text(target, source, rows)
    for place, row in enumerate(rows):
        if row < 0:
            continue
        total, at = float(source.gold_logprob[row]), int(row)
        while source.ends[at + 1] < target.ends[place + 1]:
            at += 1
            total += float(source.gold_logprob[at])
        assert found.probability[place] == pytest.approx(np.exp(total), rel=1e-6)
    own = np.exp(source.gold_logprob[np.maximum(rows, 0)].astype(np.float64))
    assert (found.probability <= own * (1 + 1e-9)).all()


@settings(max_examples=100)
@given(two_readers(), st.integers(0, 2**32 - 1))
def test_mass_is_moved_never_made(readers: tuple[Distributions, Distributions], seed: int) -> None:
    """With any vocabulary map, entries and leftover add up to one and ids within a row differ."""
    target, source = readers
    rows = align_end_byte(target.ends[:-1], source.ends[:-1])
    to_target = np.random.default_rng(seed).integers(-1, 6, 99).astype(np.int32)
    table = VocabularyMap(to_target, np.zeros(99, np.int32))
    moved: Continuation = follow_text(target, source, rows)
    found = project(source.ids, source.logprobs, 1 - np.exp(source.logprobs[:, 0].astype(float)), rows, table,
                    continuation=moved)  # fmt: skip
    np.testing.assert_allclose(found.probabilities.sum(-1) + found.leftover, 1.0, atol=1e-6)
    assert (found.probabilities >= 0).all()
    for ids in found.ids:
        listed = ids[ids >= 0].tolist()
        assert len(set(listed)) == len(listed)
