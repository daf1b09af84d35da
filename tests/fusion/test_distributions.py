"""Top-k keeps what it must; stored rows come back; sums per window count what was predicted."""

import numpy as np
import pytest

from fusion.distributions import Distributions, TopK, WindowScores, bits_per_byte, common_start, window_nll
from fusion.errors import FusionError
from fusion.functions import token_quality
from fusion.tokens import Encoding


def encoding(ids: list[int], ends: list[int]) -> Encoding:
    return Encoding(np.array(ids, np.int32), np.array(ends, np.int32))


def rows(nll: list[float], k: int = 2) -> TopK:
    """Rows whose gold token has the given negative log-likelihood."""
    n = len(nll)
    return TopK(
        np.tile(np.arange(k, dtype=np.int32), (n, 1)),
        np.full((n, k), np.log(0.4), np.float16),
        np.full(n, 0.2, np.float32),
        -np.array(nll, np.float32),
    )


def filled() -> Distributions:
    """Three windows: bos + 2 tokens + eos; one lone token; 3 tokens without bos and eos."""
    encodings = [
        encoding([1, 7, 8, 2], [0, 3, 5, 5]),
        encoding([9], [4]),
        encoding([5, 6, 7], [2, 3, 7]),
    ]
    out = Distributions.create(encodings, [True, False, False], k=2, vocabulary_size=300)
    out.put(0, rows([1.0, 2.0, 50.0]))
    out.put(2, rows([0.5, 0.25]))
    return out


def test_a_window_of_s_tokens_has_s_minus_1_rows() -> None:
    """Defect 1: row t belongs to input_ids[t + 1]; the last token predicts nothing that is stored."""
    d = filled()
    assert np.diff(d.windows).tolist() == [3, 0, 2]
    assert np.diff(d.token_offsets).tolist() == [4, 1, 3]
    assert d.encoding(2).input_ids.tolist() == [5, 6, 7]
    assert d.gold_logprob[d.rows(2)].tolist() == [-0.5, -0.25]


def test_sums_leave_out_eos_and_what_nothing_predicted() -> None:
    """Window 0: 1 + 2 nats over 5 bytes and 2 tokens (eos's 50 nats are left out).

    Window 2 has no bos: its first token's 2 bytes are left out; 0.75 nats over 7 - 2 bytes and 2 tokens.
    """
    nll, scored_bytes, scored_tokens = window_nll(filled())
    assert nll.tolist() == [3.0, 0.0, 0.75]
    assert scored_bytes.tolist() == [5, 0, 5]
    assert scored_tokens.tolist() == [2, 0, 2]


def scored(ids: list[int], ends: list[int], nll: list[float], *, closed: bool = False) -> Distributions:
    """A single window."""
    out = Distributions.create([encoding(ids, ends)], [closed], k=2, vocabulary_size=9)
    out.put(0, rows(nll))
    return out


def test_models_with_and_without_bos_are_judged_on_the_same_bytes() -> None:
    """Two models alike but for bos: the one with it also predicts the first 2 bytes, at 7 nats."""
    with_bos = scored([0, 5, 6, 7, 1], [0, 2, 3, 7, 7], [7.0, 0.5, 0.25, 50.0], closed=True)
    without = scored([5, 6, 7], [2, 3, 7], [0.5, 0.25])
    start = common_start([with_bos, without])
    assert start.tolist() == [2]
    for model in (with_bos, without):
        assert [a.tolist() for a in window_nll(model, start)] == [[0.75], [5], [2]]
    assert window_nll(with_bos).nll.tolist() == [7.75]  # alone a model is judged on all that it predicts


def test_the_common_start_is_a_place_where_every_model_begins_a_token() -> None:
    """Without bos the one starts at byte 2, inside the other's first token; both begin one at byte 3."""
    without = scored([5, 6, 7], [2, 3, 7], [0.5, 0.25])
    with_bos = scored([0, 5, 6], [0, 3, 7], [1.0, 2.0])
    start = common_start([without, with_bos])
    assert start.tolist() == [3]
    assert [window_nll(m, start).bytes.tolist() for m in (without, with_bos)] == [[4], [4]]


def test_the_common_start_without_a_common_place() -> None:
    without, whole = scored([5, 6], [2, 7], [0.5]), scored([0, 5], [0, 7], [1.0])
    assert common_start([without, whole]).tolist() == [2]
    lone = Distributions.create([encoding([5], [7])], [False], k=2, vocabulary_size=9)
    assert common_start([lone, whole]).tolist() == [0]


def test_rows_know_the_token_that_came() -> None:
    assert filled().last_read.tolist() == [0, 1, 2, 5, 6]
    assert filled().gold.tolist() == [7, 8, 2, 6, 7]


def test_sums_add_up_over_many_windows() -> None:
    encodings = [encoding([1, 2, 3], [1, 2, 3])] * 1000
    d = Distributions.create(encodings, [False] * 1000, k=1, vocabulary_size=9)
    d.gold_logprob[:] = -0.1
    np.testing.assert_allclose(window_nll(d).nll, 0.2, rtol=1e-6)


def test_window_of_nothing_but_eos() -> None:
    d = Distributions.create([encoding([2], [1]), encoding([], [])], [True, False], k=1, vocabulary_size=9)
    assert [a.tolist() for a in window_nll(d)] == [[0.0, 0.0], [0, 0], [0, 0]]


def test_bits_per_byte_does_not_depend_on_tokens() -> None:
    """Defect 4: ln 2 nats over 4 bytes are 1/4 bit per byte, in one token or in four."""
    nll = np.log(2.0) * np.ones(2)
    scores = WindowScores(nll, np.array([4, 4]), np.array([1, 4]))
    np.testing.assert_allclose(bits_per_byte(scores), [0.25, 0.25])
    assert np.isnan(bits_per_byte(WindowScores(np.zeros(1), np.array([0]), np.array([0])))).all()


def test_a_part_is_the_windows_on_their_own() -> None:
    whole, part = filled(), filled().part(1, 3)
    assert part.windows.tolist() == [0, 0, 2] and part.token_offsets.tolist() == [0, 1, 4]
    assert part.encoding(1).input_ids.tolist() == whole.encoding(2).input_ids.tolist()
    assert part.gold.tolist() == whole.gold[3:].tolist()
    assert [a.tolist() for a in window_nll(part)] == [a[1:].tolist() for a in window_nll(whole)]


@pytest.mark.parametrize("k", [0, 257])
def test_k_is_from_1_to_256(k: int) -> None:
    with pytest.raises(FusionError, match=f"top-{k} of a vocabulary of 1000"):
        Distributions.create([], [], k=k, vocabulary_size=1000)


def test_tokens_beyond_the_logits_are_an_error() -> None:
    with pytest.raises(FusionError, match="window 1 has token 9, beyond the model's vocabulary of 9"):
        Distributions.create(
            [encoding([1], [1]), encoding([2, 9], [1, 2])], [False, False], k=2, vocabulary_size=9
        )


def test_windows_remember_whether_their_ends_are_exact() -> None:
    encodings = [Encoding(np.zeros(2, np.int32), np.zeros(2, np.int32), exact) for exact in (True, False)]
    d = Distributions.create(encodings, [False, False], k=1, vocabulary_size=9)
    assert d.exact.tolist() == [True, False] == [d.encoding(w).exact for w in (0, 1)]


def test_an_unknown_token_pays_for_the_bytes_that_it_hides() -> None:
    """Two nats for seeing that there is something, log 256 for each of its three bytes; 0.5 for "a"."""
    d = Distributions.create(
        [Encoding(np.array([0, 7, 9], np.int32), np.array([0, 3, 4], np.int32), False)],
        [False],
        k=1,
        vocabulary_size=10,
    )
    half = np.zeros((2, 1), np.float16)
    gold = np.array([-2.0, -0.5], np.float32)
    d.put(0, TopK(np.zeros((2, 1), np.int32), half, np.zeros(2, np.float32), gold))
    assert window_nll(d).nll.tolist() == [2.5]
    np.testing.assert_allclose(window_nll(d, unknown=7).nll, [2.5 + 3 * np.log(256)])
    rows = np.array([0, 1], np.int32)
    by_token = token_quality(d, rows, "cross_entropy", unknown=7)
    np.testing.assert_allclose(by_token, [2 + 3 * np.log(256), 0.5])
