"""The plan reads every sequence once, no token twice if it can be helped, and no scored token in a trunk."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.scoring.shared_prefix.packing import pack
from harness.scoring.shared_prefix.prefixes import (
    MIN_TRUNK,
    Grow,
    Read,
    Shrink,
    Tokens,
    distinct_tokens,
    groups,
    plan,
    shared,
)


def ids(*tokens: int) -> Tokens:
    return np.array(tokens, np.int64)


def tree(trunk: int, documents: int, question: int, answers: int, answer: int) -> list[Tokens]:
    """documents x answers sequences, all distinct from where they part."""
    rng = np.random.default_rng(0)
    top = rng.integers(0, 1000, trunk)
    found = []
    for d in range(documents):
        middle = np.concatenate([top, [1000 + d], rng.integers(0, 1000, question - 1)])
        found += [
            np.concatenate([middle, [2000 + a], rng.integers(0, 1000, answer - 1)]) for a in range(answers)
        ]
    return found


@st.composite
def sequences(draw: st.DrawFn) -> tuple[list[Tokens], list[int]]:
    """Few token values, so that prefixes are shared at random; some behind a long common start."""
    long = np.arange(draw(st.integers(0, 2)) * (MIN_TRUNK + 3)) % 5
    texts = draw(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), min_size=1, max_size=12))
    whole = [np.concatenate([long, ids(*text)]) for text in texts]
    free = [draw(st.integers(0, len(s) - 1)) for s in whole]
    return whole, free


def replayed(whole: list[Tokens], pack_tokens: int, free: list[int]) -> tuple[list[int], int]:
    """Carry a plan out on paper: which sequences were read, and how many tokens in all."""
    trunk: Tokens = ids()
    read: list[int] = []
    count = 0
    for step in plan(whole, free, pack_tokens):
        match step:
            case Grow(sequence, start, stop):
                assert len(trunk) == start
                assert np.array_equal(trunk, whole[sequence][:start])
                trunk = whole[sequence][:stop]
                count += stop - start
            case Shrink(length):
                assert length <= len(trunk)
                trunk = trunk[:length]
            case Read(members, depth):
                assert len(trunk) == depth
                assert all(np.array_equal(whole[i][:depth], trunk) for i in members)
                assert all(free[i] >= depth for i in members)
                packed = pack([whole[i] for i in members], depth)
                assert len(packed.tokens) <= pack_tokens or len(members) == 1
                read += members
                count += len(packed.tokens)
    assert len(trunk) == 0
    return read, count


@given(sequences(), st.integers(1, 60))
def test_every_sequence_is_read_once_behind_its_own_trunk(
    case: tuple[list[Tokens], list[int]], pack_tokens: int
) -> None:
    whole, free = case
    read, count = replayed(whole, pack_tokens, free)
    assert sorted(read) == list(range(len(whole)))
    assert distinct_tokens(whole) <= count <= sum(map(len, whole))


@given(sequences())
def test_in_one_pack_no_token_is_read_twice(case: tuple[list[Tokens], list[int]]) -> None:
    whole, free = case
    _, count = replayed(whole, 10_000, free)
    assert count == distinct_tokens(whole)


def test_distinct_tokens_of_a_known_tree() -> None:
    """One trunk of 100, five questions of 20, four answers of 6 each: 100 + 5 (20 + 4 x 6) = 320."""
    whole = tree(100, documents=5, question=20, answers=4, answer=6)
    assert distinct_tokens(whole) == 320
    assert sum(map(len, whole)) == 20 * (100 + 20 + 6)


def test_a_long_trunk_is_read_once_and_no_document_is_torn_apart() -> None:
    """Packs of 100 hold two documents of 20 + 24 tokens; the trunk of 100 is read once before them."""
    whole = tree(100, documents=5, question=20, answers=4, answer=6)
    steps = list(plan(whole, [len(s) - 6 for s in whole], 100))
    assert [type(s) for s in steps] == [Grow, Read, Read, Read, Shrink]
    reads = [s for s in steps if isinstance(s, Read)]
    assert [len(r.sequences) for r in reads] == [8, 8, 4]
    assert replayed(whole, 100, [len(s) - 6 for s in whole])[1] == 320


def test_two_levels_of_trunks() -> None:
    """Two subjects behind one preamble of 40: each subject's 100 tokens of examples once."""
    rng = np.random.default_rng(1)
    preamble = rng.integers(0, 1000, 40)
    whole = [
        np.concatenate([preamble, [3000 + subject], rng.integers(0, 1000, 99), [d], rng.integers(0, 9, 29)])
        for subject in range(2)
        for d in range(3)
    ]
    for subject in range(2):
        for d in range(1, 3):
            whole[3 * subject + d][41:140] = whole[3 * subject][41:140]
    count = 40 + 2 * (100 + 3 * 30)
    assert distinct_tokens(whole) == count
    assert replayed(whole, 60, [len(s) - 1 for s in whole])[1] == count


def test_a_sequence_longer_than_a_pack_moves_its_context_to_the_trunk() -> None:
    whole = [np.arange(500)]
    assert list(plan(whole, [490], 100)) == [Grow(0, 0, 490), Read((0,), 490), Shrink(0)]
    assert list(plan(whole, [0], 100)) == [Read((0,), 0)]  # all of it is scored


def test_nothing_to_read_needs_no_steps() -> None:
    assert list(plan([], [], 100)) == []
    assert groups([]) == []


def test_shared_counts_equal_first_tokens() -> None:
    assert shared(ids(1, 2, 3), ids(1, 2, 4)) == 2
    assert shared(ids(1, 2), ids(1, 2, 4)) == 2
    assert shared(ids(5), ids(1)) == 0


def test_groups_share_the_prefix_that_saves_most() -> None:
    """Two subjects behind a preamble long enough for a group of its own: a group for each saves more."""
    whole = tree(MIN_TRUNK, documents=2, question=100, answers=3, answer=5)
    found = groups(whole)
    assert sorted(len(g.sequences) for g in found) == [3, 3]
    assert [g.depth for g in found] == [MIN_TRUNK + 100] * 2


def test_prompts_that_share_too_little_are_one_group_without_a_trunk() -> None:
    whole = tree(MIN_TRUNK - 2, documents=4, question=1, answers=1, answer=9)
    (group,) = groups(whole)
    assert group.depth == 0
    assert sorted(group.sequences) == [0, 1, 2, 3]


@given(sequences())
def test_groups_hold_every_sequence_once_and_leave_a_token_of_each(
    case: tuple[list[Tokens], list[int]],
) -> None:
    whole, _ = case
    found = groups(whole)
    assert sorted(i for g in found for i in g.sequences) == list(range(len(whole)))
    for group in found:
        assert all(len(whole[i]) > group.depth for i in group.sequences)
        for a, b in pairwise(group.sequences):
            assert shared(whole[a], whole[b]) >= group.depth


def test_a_token_of_a_pack_sees_its_own_path() -> None:
    """ab and ac behind a trunk x: one row of a, b, c where c does not see b."""
    packed = pack([ids(9, 0, 1), ids(9, 0, 2)], 1)
    assert packed.tokens.tolist() == [0, 1, 2]
    assert packed.positions.tolist() == [1, 2, 2]
    assert packed.sees.astype(int).tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 1]]
    assert [path.tolist() for path in packed.paths] == [[0, 1], [0, 2]]
