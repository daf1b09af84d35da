"""Mass is moved, added and left over, never lost; rows without source have no teacher."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fusion.errors import FusionError
from fusion.next_token import Continuation
from fusion.projection import Projected, merge_entries, project
from fusion.vocabulary import VocabularyMap


def vocabulary_map(*targets: int) -> VocabularyMap:
    ids = np.array(targets, np.int32)
    return VocabularyMap(ids, np.where(ids >= 0, 0, -1).astype(np.int32))


def as_dicts(found: Projected) -> list[dict[int, float]]:
    return [
        {int(i): float(p) for i, p in zip(ids, ps, strict=True) if i >= 0}
        for ids, ps in zip(found.ids, found.probabilities, strict=True)
    ]


IDS = np.array([[0, 1, 2], [3, 0, 1]], np.uint16)
LOGPROBS = np.log(np.array([[0.5, 0.2, 0.1], [0.6, 0.3, 0.05]]))
LEFTOVER = np.array([0.2, 0.05])


def test_by_hand() -> None:
    """Tokens 0 and 2 become 7, token 1 becomes 4, token 3 has no counterpart."""
    found = project(IDS, LOGPROBS, LEFTOVER, np.array([1, -1, 0], np.int32), vocabulary_map(7, 4, 7, -1))
    assert as_dicts(found) == [
        {7: pytest.approx(0.3), 4: pytest.approx(0.05)},
        {},
        {7: pytest.approx(0.6), 4: pytest.approx(0.2)},  # 0.5 + 0.1
    ]
    np.testing.assert_allclose(found.leftover, [0.65, 1.0, 0.2], rtol=1e-6)
    assert found.kept.tolist() == [True, False, True]
    assert [a.dtype for a in found] == [np.int32, np.float32, np.float32]


def test_duplicates_add() -> None:
    """Defect 2: two source tokens of one target token give it the mass of both."""
    found = project(IDS[:1], LOGPROBS[:1], LEFTOVER[:1], np.array([0], np.int32), vocabulary_map(5, 5, 5))
    assert as_dicts(found) == [{5: pytest.approx(0.8)}]


def test_the_released_code_keeps_the_first_of_duplicates() -> None:
    """Of 0.5, 0.2 and 0.1 on one target token 0.5 stays, wherever another token stands between them."""
    found = project(
        IDS[:1],
        LOGPROBS[:1],
        LEFTOVER[:1],
        np.array([0], np.int32),
        vocabulary_map(5, 6, 5),
        duplicates="first",
    )
    assert as_dicts(found) == [{5: pytest.approx(0.5), 6: pytest.approx(0.2)}]


def test_what_the_text_moves_is_no_duplicate() -> None:
    """Tokens 0 (0.5) and 1 (0.2) both become 5; the text goes on with 9, which the source gives 0.1 within
    token 1's 0.2. As released only the first of equals counts, and the moved mass is none of them."""
    moved = Continuation(np.array([9], np.int32), np.array([1], np.int32), np.array([0.1]))
    found = project(
        IDS[:1], LOGPROBS[:1], LEFTOVER[:1], np.zeros(1, np.int32), vocabulary_map(5, 5, 9),
        continuation=moved, duplicates="first",
    )  # fmt: skip
    assert as_dicts(found) == [{5: pytest.approx(0.5), 9: pytest.approx(0.2)}]  # 9: token 2's 0.1 and 0.1


def test_a_map_of_other_models_is_refused() -> None:
    with pytest.raises(FusionError, match="has 2 source tokens, but the distributions contain token 2"):
        project(IDS[:1], LOGPROBS[:1], LEFTOVER[:1], np.zeros(1, np.int32), vocabulary_map(5, 5))


def test_unmapped_mass_is_left_over_not_spread() -> None:
    """Defect 7."""
    found = project(IDS[:1], LOGPROBS[:1], LEFTOVER[:1], np.array([0], np.int32), vocabulary_map(5, -1, -1))
    assert as_dicts(found) == [{5: pytest.approx(0.5)}]
    np.testing.assert_allclose(found.leftover, [0.5], rtol=1e-6)


def test_identity_returns_the_rows() -> None:
    found = project(IDS, LOGPROBS, LEFTOVER, np.arange(2, dtype=np.int32), VocabularyMap.identity(4))
    assert found.ids.tolist() == IDS.tolist()  # stored likeliest first already
    np.testing.assert_allclose(found.probabilities, np.exp(LOGPROBS), rtol=1e-6)
    np.testing.assert_allclose(found.leftover, LEFTOVER, rtol=1e-6)


def test_a_source_without_rows_teaches_nothing() -> None:
    found = project(IDS[:0], LOGPROBS[:0], LEFTOVER[:0], np.array([-1, -1], np.int32), vocabulary_map(1))
    assert not found.kept.any() and found.leftover.tolist() == [1, 1]
    assert project(IDS, LOGPROBS, LEFTOVER, np.array([], np.int32), VocabularyMap.identity(4)).ids.shape == (
        0,
        3,
    )


@st.composite
def stored(draw: st.DrawFn) -> tuple[NDArray[np.int32], NDArray[np.float16], NDArray[np.float16]]:
    """Rows as they are on disk: distinct ids, half precision."""
    rows, k = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    mass = rng.dirichlet(np.full(k + 1, draw(st.sampled_from([0.05, 1.0, 20.0]))), rows) + 1e-30
    ids = np.stack([rng.permutation(10)[:k] for _ in range(rows)]).astype(np.int32)
    return ids, np.log(mass[:, :k]).astype(np.float16), mass[:, k].astype(np.float16)


@settings(max_examples=150)
@given(rows=stored(), targets=st.lists(st.integers(-1, 6), min_size=10, max_size=10), pick=st.data())
def test_mass_is_conserved_and_lands_where_the_map_says(
    rows: tuple[NDArray[np.int32], NDArray[np.float16], NDArray[np.float16]],
    targets: list[int],
    pick: st.DataObject,
) -> None:
    ids, logprobs, leftover = rows
    wanted = pick.draw(st.lists(st.integers(-1, len(ids) - 1), min_size=1, max_size=6))
    found = project(ids, logprobs, leftover, np.array(wanted, np.int32), vocabulary_map(*targets))
    np.testing.assert_allclose(found.probabilities.sum(1) + found.leftover, 1, atol=1e-6)
    for row, listed in zip(wanted, as_dicts(found), strict=True):
        expected: dict[int, float] = {}
        mass = np.exp(logprobs[row].astype(float))
        for token, p in zip(ids[row], mass / (mass.sum() + float(leftover[row])), strict=True):
            if row >= 0 and targets[token] >= 0:
                expected[targets[token]] = expected.get(targets[token], 0.0) + p
        assert listed == {i: pytest.approx(p, rel=1e-5, abs=1e-7) for i, p in expected.items()}


def test_many_rows_are_merged_in_parts_without_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    ids, mass = rng.integers(-1, 4, (23, 5)).astype(np.int32), rng.dirichlet(np.ones(6), 23)[:, :5]
    whole = merge_entries(ids, mass)
    monkeypatch.setattr("fusion.projection._CHUNK", 4)
    for ours, theirs in zip(merge_entries(ids, mass), whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=50)
@given(rows=stored())
def test_rows_have_a_canonical_form(
    rows: tuple[NDArray[np.int32], NDArray[np.float16], NDArray[np.float16]],
) -> None:
    """Likeliest first, then nothing; nothing is -1 with probability 0."""
    ids, logprobs, _ = rows
    found = merge_entries(ids % 3, np.exp(logprobs.astype(float)) / 10)
    assert (np.diff(found.probabilities, axis=1) <= 0).all()
    assert (np.diff((found.ids >= 0).astype(int), axis=1) <= 0).all()
    assert (found.probabilities[found.ids < 0] == 0).all()
