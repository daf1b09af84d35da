"""The k most likely tokens are those of a dense softmax, by every way of computing them and with ties."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion import top_k as module
from fusion.distributions import TopK
from fusion.errors import FusionError
from fusion.lm_head import Projection
from fusion.top_k import likeliest, top_k


def test_top_k_by_hand() -> None:
    """Probabilities 1/2, 1/4, 1/8, 1/8."""
    logits = torch.tensor([[0.125, 0.5, 0.125, 0.25]]).log() + 7  # a constant changes nothing
    found = top_k(logits, torch.tensor([2]), 2)
    assert found.ids.tolist() == [[1, 3]]
    np.testing.assert_allclose(np.exp(found.logprobs.astype(float)), [[0.5, 0.25]], rtol=1e-3)
    np.testing.assert_allclose(found.leftover, [0.25], rtol=1e-6)
    np.testing.assert_allclose(np.exp(found.gold_logprob), [0.125], rtol=1e-6)
    assert [a.dtype for a in found] == [np.int32, np.float16, np.float32, np.float32]


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.1, 3.0, 100.0]), k=st.integers(1, 20))
def test_kept_and_left_over_are_everything(seed: int, scale: float, k: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    found = top_k(torch.randn(5, 20, generator=generator) * scale, torch.zeros(5), k)
    total = np.exp(found.logprobs.astype(np.float64)).sum(1) + found.leftover
    np.testing.assert_allclose(total, 1, atol=2e-3)  # half precision
    assert ((found.leftover >= 0) & (found.leftover <= 1)).all()
    assert (np.diff(found.logprobs.astype(float), axis=1) <= 0).all()


def test_small_leftover_is_not_lost() -> None:
    """One token at logit 12 among 999 at 0 leaves 999 / (999 + e^12) over, here 0.61 %."""
    logits = torch.zeros(1, 1000)
    logits[0, 5] = 12.0
    expected = 999 / (999 + np.exp(12.0))
    np.testing.assert_allclose(top_k(logits, torch.tensor([5]), 1).leftover, [expected], atol=2e-6)


def test_half_precision_logits_are_widened_first() -> None:
    """A sum of 60,000 equal terms overflows or stalls in half precision."""
    found = top_k(torch.zeros(1, 60_000, dtype=torch.bfloat16), torch.tensor([7]), 1)
    np.testing.assert_allclose(found.gold_logprob, [-np.log(60_000)], rtol=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_an_error(bad: float) -> None:
    logits = torch.zeros(2, 5)
    logits[1, 3] = bad
    with pytest.raises(FusionError, match="not finite"):
        top_k(logits, torch.zeros(2), 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_float32_is_advised_to_whom_it_may_help(dtype: torch.dtype) -> None:
    with pytest.raises(FusionError, match="not finite") as caught:
        top_k(torch.full((1, 5), float("nan"), dtype=dtype), torch.tensor([0]), 2)
    assert ("float32" in caught.value.remedy) == (dtype != torch.float32)


def test_impossible_tokens_are_no_error_unless_they_came() -> None:
    logits = torch.tensor([[0.0, 0.0, -float("inf")]])
    assert top_k(logits, torch.tensor([0]), 2).leftover == pytest.approx(0, abs=1e-6)
    with pytest.raises(FusionError, match="not finite"):
        top_k(logits, torch.tensor([2]), 2)


@pytest.mark.parametrize("k", [0, 6])
def test_k_beyond_the_vocabulary_is_an_error(k: int) -> None:
    with pytest.raises(FusionError, match=f"top-{k} of a vocabulary of 5"):
        top_k(torch.zeros(1, 5), torch.zeros(1), k)


def brute_force(logits: torch.Tensor, gold: torch.Tensor, k: int) -> TopK:
    """By definition, in float64; Python's sort is stable, so equal logits stay in the order of their ids."""
    dense = logits.double().log_softmax(-1).numpy()
    ids = [sorted(range(len(row)), key=lambda i: -float(row[i]))[:k] for row in logits]
    kept = np.take_along_axis(dense, np.array(ids, np.int64).reshape(len(logits), k), -1)
    came = dense[np.arange(len(logits)), gold.numpy()]
    return TopK(
        np.array(ids, np.int32).reshape(len(logits), k),
        kept.astype(np.float16),
        (1 - np.exp(kept).sum(-1)).astype(np.float32),
        came.astype(np.float32),
    )


def assert_same(found: TopK, expected: TopK) -> None:
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_allclose(found.logprobs, expected.logprobs, rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(found.leftover, expected.leftover, atol=3e-6)
    np.testing.assert_allclose(found.gold_logprob, expected.gold_logprob, rtol=3e-6, atol=3e-6)


def drawn(seed: int, rows: int, width: int, kind: str) -> torch.Tensor:
    """Logits: all different, mostly equal, all equal, or with impossible tokens."""
    logits = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)) * 5
    if kind == "ties":
        return logits.round()
    if kind == "equal":
        return torch.zeros_like(logits)
    if kind == "impossible":
        return logits.masked_fill(torch.arange(width) % 3 == 1, -float("inf"))
    return logits


WAYS = {"scanned": module._scanned, "sorted": module._sorted}


def by_way(way: str, logits: torch.Tensor, gold: torch.Tensor, k: int) -> TopK:
    """`top_k` with the way of the CPU, or with that of other devices."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_scanned", WAYS[way])
        return top_k(logits, gold, k)


@settings(max_examples=60)
@given(
    way=st.sampled_from(sorted(WAYS)),
    kind=st.sampled_from(["different", "ties", "equal", "impossible"]),
    seed=st.integers(0, 10_000),
    rows=st.integers(0, 6),
    width=st.integers(1, 300),
    data=st.data(),
)
def test_any_logits_are_kept_as_by_brute_force(
    way: str, kind: str, seed: int, rows: int, width: int, data: st.DataObject
) -> None:
    possible = width if kind != "impossible" else (2 * width + 1) // 3
    k = data.draw(st.integers(1, min(possible, 256)))
    logits, gold = drawn(seed, rows, width, kind), torch.zeros(rows, dtype=torch.int64)
    assert_same(by_way(way, logits, gold, k), brute_force(logits, gold, k))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 3e4])
def test_scanning_is_the_softmax_at_any_scale(scale: float) -> None:
    """Also where the running maximum rises with every block, and where all but one logit vanish."""
    logits = torch.linspace(-1, 1, 5000).repeat(3, 1) * scale
    logits[1], logits[2] = logits[1].flip(0), logits[2].roll(2500)
    gold = torch.tensor([4999, 0, 2499])
    assert_same(top_k(logits, gold, 7), brute_force(logits, gold, 7))


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("finish", [(1.0, None), (0.25, None), (1.0, 3.0), (2.0, 5.0)])
def test_tiles_and_chunks_of_a_head_are_the_whole(
    monkeypatch: pytest.MonkeyPatch, finish: tuple[float, float | None], dtype: torch.dtype, threads: int
) -> None:
    """130 rows and 1,000 tokens in tiles of 64 x 192, against the head applied in one go."""
    monkeypatch.setattr(module, "TILE_ROWS", 64)
    monkeypatch.setattr(module, "TILE_WIDTH", 192)
    monkeypatch.setattr(module, "CHUNK_LOGITS", 17_000)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    draw = torch.Generator().manual_seed(1)
    hidden = torch.randint(-3, 4, (130, 16), generator=draw).to(dtype)  # small whole numbers: sums are exact
    head = Projection(torch.randint(-3, 4, (1000, 16), generator=draw).to(dtype), *finish)
    gold = torch.randint(0, 1000, (130,), generator=draw)
    expected = brute_force(head(hidden).float(), gold, 12)
    assert_same(likeliest(head, hidden, gold, 12), expected)
    assert_same(likeliest(lambda h: head(h), hidden, gold, 12), expected)  # a head that is not plain


def test_all_logits_are_never_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that is not plain sees at most CHUNK_LOGITS / V rows at a time."""
    monkeypatch.setattr(module, "CHUNK_LOGITS", 1000)
    seen = []

    def head(hidden: torch.Tensor) -> torch.Tensor:
        seen.append(len(hidden))
        return torch.zeros(len(hidden), 100)

    likeliest(head, torch.zeros(35, 4), torch.zeros(35, dtype=torch.int64), 3)
    assert max(seen) == 10 and sum(seen) == 35


@pytest.mark.parametrize("way", sorted(WAYS))
@pytest.mark.parametrize("place", [0, 63, 64, 127, 199])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_bad_logit_anywhere_names_its_row(way: str, place: int, bad: float) -> None:
    logits = drawn(0, 4, 200, "different")
    logits[2, place] = bad
    with pytest.raises(FusionError, match="row 2: logits are not finite"):
        by_way(way, logits, torch.full((4,), 150), 5)


@pytest.mark.parametrize("way", sorted(WAYS))
def test_fewer_possible_tokens_than_k_are_an_error(way: str) -> None:
    logits = torch.full((1, 100), -float("inf"))
    logits[0, [3, 70]] = 0.0
    assert by_way(way, logits, torch.tensor([70]), 2).ids.tolist() == [[3, 70]]
    with pytest.raises(FusionError, match="not finite"):
        by_way(way, logits, torch.tensor([70]), 3)


def test_a_gold_token_that_half_precision_cannot_hold_stays_finite() -> None:
    found = top_k(torch.tensor([[0.0, -1e6]]), torch.tensor([1]), 2)
    assert found.logprobs.tolist() == [[0.0, -65_504.0]] and found.gold_logprob.tolist() == [-1e6]
