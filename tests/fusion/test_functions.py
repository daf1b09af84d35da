"""The better model wins by bits per byte, per document, window or token; averages stay distributions."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fusion.distributions import Distributions, WindowScores
from fusion.errors import FusionError
from fusion.functions import avgce, group_quality, mince, token_quality
from fusion.projection import Projected, merge_entries, project
from fusion.tokens import Encoding
from fusion.vocabulary import VocabularyMap

LN2 = np.log(2.0)


def sparse(*rows: dict[int, float], width: int = 2) -> Projected:
    ids = np.full((len(rows), width), -1, np.int32)
    probabilities = np.zeros((len(rows), width))
    for r, row in enumerate(rows):
        ids[r, : len(row)] = list(row)
        probabilities[r, : len(row)] = list(row.values())
    return merge_entries(ids, probabilities)


def dense(found: Projected, width: int = 10) -> NDArray[np.float64]:
    """[R, width + 1], the leftover last."""
    out = np.zeros((len(found.ids), width + 1))
    for r, (ids, ps) in enumerate(zip(found.ids, found.probabilities, strict=True)):
        for i, p in zip(ids, ps, strict=True):
            if i >= 0:
                out[r, i] += p
    out[:, -1] = found.leftover
    return out


def scores(nll: list[float], read: list[int], tokens: list[int]) -> WindowScores:
    return WindowScores(np.array(nll), np.array(read), np.array(tokens))


# --- quality


def test_quality_of_a_document_pools_its_windows() -> None:
    """Windows 0 and 2 belong to document 0: 3 ln 2 nats over 6 bytes are half a bit per byte; 4 tokens."""
    found = scores([LN2, 5.0, 2 * LN2], [4, 1, 2], [3, 1, 1])
    groups = np.array([0, 1, 0])
    np.testing.assert_allclose(group_quality(found, groups, "bits_per_byte"), [0.5, 5 / LN2])
    np.testing.assert_allclose(group_quality(found, groups, "cross_entropy"), [3 * LN2 / 4, 5.0])


def test_nothing_scored_is_the_worst_quality() -> None:
    found = scores([0.0, 1.0], [0, 3], [0, 2])
    assert group_quality(found, np.arange(2), "bits_per_byte")[0] == np.inf


def test_finer_tokens_do_not_win_by_being_finer() -> None:
    """Defect 4: one text at about one likelihood, in 10 and in 20 tokens: per token the worse wins."""
    coarse, fine = scores([10.0], [40], [10]), scores([10.5], [40], [20])
    group = np.array([0])
    assert group_quality(coarse, group, "bits_per_byte") < group_quality(fine, group, "bits_per_byte")
    assert group_quality(coarse, group, "cross_entropy") > group_quality(fine, group, "cross_entropy")


def test_packing_does_not_change_a_documents_quality() -> None:
    """Defect 6: a document's windows are its own, wherever they lie."""
    groups = np.array([0, 1, 0])
    rows = np.array([0, 0, 1, 2])  # windows of four rows
    quality = np.array([1.0, 2.0])[groups[rows]]
    assert quality.tolist() == [1.0, 1.0, 2.0, 1.0]


def lone_model() -> Distributions:
    """Two windows: tokens ending at 0, 2, 5 and at 1, 4, with gold probabilities 1/2, 1/4 and 1/8."""
    encodings = [
        Encoding(np.array([1, 7, 8], np.int32), np.array([0, 2, 5], np.int32)),
        Encoding(np.array([7, 8], np.int32), np.array([1, 4], np.int32)),
    ]
    out = Distributions.create(encodings, [False, False], k=1, vocabulary_size=9)
    out.gold_logprob[:] = np.log([1 / 2, 1 / 4, 1 / 8])
    return out


def test_quality_of_a_token_is_of_the_one_predicted() -> None:
    """Defect 10 (per token crashed): 1 bit over 2 bytes, 2 bits over 3, 3 bits over 3."""
    rows = np.array([2, -1, 0, 1], np.int32)
    found = token_quality(lone_model(), rows, "bits_per_byte")
    np.testing.assert_allclose(found, [1.0, np.inf, 0.5, 2 / 3], rtol=1e-6)
    nats = token_quality(lone_model(), rows, "cross_entropy")
    np.testing.assert_allclose(nats, [3 * LN2, np.inf, LN2, 2 * LN2], rtol=1e-6)


def test_quality_of_no_rows() -> None:
    empty = Distributions.create([], [], k=1, vocabulary_size=9)
    assert token_quality(empty, np.array([-1], np.int32), "bits_per_byte").tolist() == [np.inf]


# --- MinCE

TARGET = sparse({0: 0.5, 1: 0.25}, {2: 1.0}, {3: 0.5}, {})
SOURCE = sparse({4: 0.9}, {}, {5: 0.25, 6: 0.25}, {})


def test_mince_takes_the_better_models_rows_whole() -> None:
    """The source wins rows 0 and 1 (without teacher: it has no row there), the target row 2."""
    fused = mince([TARGET, SOURCE], np.array([[2.0, 2.0, 1.0, 1.0], [1.0, 1.0, 2.0, 2.0]]))
    np.testing.assert_allclose(
        dense(fused.distribution),
        np.stack([dense(SOURCE)[0], dense(SOURCE)[1], dense(TARGET)[2], dense(TARGET)[3]]),
    )
    assert fused.distribution.kept.tolist() == [True, False, True, False]
    assert fused.winner.tolist() == [1, -1, 0, -1]
    assert fused.share.tolist() == [0.5, 0.5]


def test_ties_go_to_the_first_model() -> None:
    """Defect 5: full precision decides; only true ties go to the target."""
    tied = mince([TARGET, SOURCE], np.ones((2, 4)))
    assert tied.winner.tolist() == [0, 0, 0, -1]
    close = np.stack([np.full(4, 2.0), np.full(4, 2.0 - 1e-7)])
    assert mince([TARGET, SOURCE], close).winner.tolist() == [1, -1, 1, -1]


def test_unknown_quality_never_wins() -> None:
    quality = np.array([[np.inf] * 4, [5.0] * 4, [np.nan] * 4])
    assert mince([TARGET, SOURCE, TARGET], quality).winner.tolist() == [1, -1, 1, -1]


def test_models_may_keep_different_numbers_of_entries() -> None:
    wide = sparse({0: 0.2, 1: 0.2, 2: 0.2}, width=3)
    narrow = sparse({7: 0.4}, width=1)
    fused = mince([narrow, wide], np.array([[1.0], [2.0]]))
    assert fused.distribution.ids.tolist() == [[7, -1, -1]]


# --- AvgCE


def test_avgce_by_hand() -> None:
    """Qualities ln 1 and ln 3 give weights 3/4 and 1/4: where both have a row."""
    quality = np.array([[0.0] * 4, [np.log(3.0)] * 4])
    fused = avgce([TARGET, SOURCE], quality)
    expected = 0.75 * dense(TARGET) + 0.25 * dense(SOURCE)
    np.testing.assert_allclose(dense(fused.distribution)[[0, 2]], expected[[0, 2]], rtol=1e-6)
    np.testing.assert_allclose(dense(fused.distribution)[1], dense(TARGET)[1])  # the target alone
    assert fused.distribution.kept.tolist() == [True, True, True, False]
    np.testing.assert_allclose(fused.share, [(0.75 + 1 + 0.75) / 3, (0.25 + 0 + 0.25) / 3])
    assert fused.winner.tolist() == [0, 0, 0, -1]


def test_weights_tell_models_apart() -> None:
    """Defect 4: softmax(-q) of qualities 1 and 3 is 0.88 to 0.12; softmax(exp(-q)) would be 0.58 to 0.42."""
    one = sparse({0: 1.0})
    share = avgce([one, one], np.array([[1.0], [3.0]])).share
    np.testing.assert_allclose(share, [1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))])


def test_average_of_equals_is_the_same() -> None:
    fused = avgce([TARGET, TARGET, TARGET], np.array([[1.0] * 4, [2.0] * 4, [0.3] * 4]))
    np.testing.assert_allclose(dense(fused.distribution), dense(TARGET), atol=1e-7)


def test_a_model_of_unknown_quality_has_no_weight() -> None:
    fused = avgce([TARGET, SOURCE], np.array([[1.0] * 4, [np.inf] * 4]))
    np.testing.assert_allclose(dense(fused.distribution)[0], dense(TARGET)[0])
    assert np.isfinite(fused.share).all()
    nobody = avgce([TARGET, SOURCE], np.full((2, 4), np.inf))
    assert not nobody.distribution.kept.any() and nobody.winner.tolist() == [-1] * 4


@settings(max_examples=80)
@given(seed=st.integers(0, 10_000), models=st.integers(1, 4), rows=st.integers(1, 6))
def test_fused_rows_are_distributions(seed: int, models: int, rows: int) -> None:
    rng = np.random.default_rng(seed)

    def model() -> Projected:
        ids = np.stack([rng.permutation(8)[:3] for _ in range(rows)]) - 2
        return merge_entries(np.maximum(ids, -1).astype(np.int32), rng.dirichlet(np.ones(4), rows)[:, :3])

    several = [model() for _ in range(models)]
    quality = rng.exponential(size=(models, rows))
    for fuse in (mince, avgce):
        fused = fuse(several, quality)
        np.testing.assert_allclose(dense(fused.distribution).sum(1), 1, atol=1e-6)
        assert fused.share.sum() == pytest.approx(1 if fused.distribution.kept.any() else 0)
    weights = np.exp(-quality) * np.stack([m.kept for m in several])
    weights /= np.maximum(weights.sum(0), 1e-30)
    expected = np.einsum("mr,mrv->rv", weights, np.stack([dense(m) for m in several]))
    expected[weights.sum(0) == 0, -1] = 1.0
    np.testing.assert_allclose(dense(avgce(several, quality).distribution), expected, atol=1e-6)


def test_one_model_is_itself_under_both() -> None:
    for fuse in (mince, avgce):
        np.testing.assert_allclose(
            dense(fuse([TARGET], np.ones((1, 4))).distribution), dense(TARGET), atol=1e-7
        )


def test_models_must_have_the_same_rows() -> None:
    with pytest.raises(FusionError, match="do not fit"):
        mince([TARGET, sparse({0: 1.0})], np.ones((2, 4)))
    with pytest.raises(FusionError, match="do not fit"):
        avgce([TARGET, SOURCE], np.ones((2, 3)))


def test_released_weights_hardly_tell_models_apart() -> None:
    """softmax(exp(-CE)) of 1.5 and 3.5: exp gives 0.2231 and 0.0302, so sigmoid(0.1929) = 0.5481 for the
    better one, where softmax(-CE) gives sigmoid(2) = 0.8808."""
    quality = np.array([[1.5] * 4, [3.5] * 4])
    everywhere = Projected(np.zeros((4, 1), np.int32), np.ones((4, 1), np.float32), np.zeros(4, np.float32))
    released = avgce([everywhere, everywhere], quality, weights="release").share
    np.testing.assert_allclose(released, [0.5481, 0.4519], atol=1e-4)
    np.testing.assert_allclose(avgce([everywhere, everywhere], quality).share, [0.8808, 0.1192], atol=1e-4)


def test_a_choice_that_there_is_not_is_refused() -> None:
    scores = WindowScores(np.ones(1), np.ones(1, np.int64), np.ones(1, np.int64))
    rows, quality = np.zeros(1, np.int32), np.zeros((1, 1))
    one = Projected(np.zeros((1, 1), np.int32), np.ones((1, 1), np.float32), np.zeros(1, np.float32))
    wrong: Any = "bpb"
    with pytest.raises(FusionError, match="quality"):
        group_quality(scores, np.zeros(1, np.int64), wrong)
    with pytest.raises(FusionError, match="quality"):
        token_quality(lone_model(), rows, wrong)
    wrong = "releese"
    with pytest.raises(FusionError, match="release"):
        avgce([one], quality, weights=wrong)
    wrong = "frist"
    with pytest.raises(FusionError, match="first"):
        project(one.ids, np.zeros((1, 1)), np.zeros(1), rows, VocabularyMap.identity(1), duplicates=wrong)
