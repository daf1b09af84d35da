"""Stored distributions are the model's own, however windows are batched, chunked or padded."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion import extraction
from fusion import top_k as likeliest
from fusion.decoder import split_model
from fusion.distributions import Distributions
from fusion.errors import FusionError
from fusion.extraction import extract, extract_to, length_batches
from fusion.shards import DistributionStore
from fusion.tokens import Encoding
from tests.fusion.tiny import ARCHITECTURES, VOCABULARY, tiny_model

LENGTHS = (7, 1, 12, 2, 12, 5)


def _encodings(seed: int = 0) -> list[Encoding]:
    draw = np.random.default_rng(seed)
    ids = [draw.integers(0, VOCABULARY, n).astype(np.int32) for n in LENGTHS]
    return [Encoding(i, np.arange(1, len(i) + 1, dtype=np.int32)) for i in ids]


def _extract(model, **options) -> Distributions:  # type: ignore[no-untyped-def]
    return extract(model, _encodings(), [False] * len(LENGTHS), k=5, **options)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rows_are_the_dense_softmax_of_each_window_read_alone(architecture: str) -> None:
    model = tiny_model(architecture)
    found = _extract(model, batch_tokens=40)
    for window, encoding in enumerate(_encodings()):
        ids = torch.from_numpy(encoding.input_ids).long()
        with torch.no_grad():
            dense = model(input_ids=ids[None]).logits[0].double().log_softmax(-1)
        for t, row in enumerate(range(found.windows[window], found.windows[window + 1])):
            expected = dense[t].topk(5)
            np.testing.assert_allclose(found.logprobs[row], expected.values, atol=5e-3)
            np.testing.assert_allclose(found.gold_logprob[row], dense[t, ids[t + 1]], atol=1e-4)
            np.testing.assert_allclose(found.leftover[row], 1 - expected.values.exp().sum(), atol=1e-3)


def test_a_window_of_s_tokens_has_s_minus_one_rows_and_nothing_is_padded() -> None:
    found = _extract(tiny_model("llama"))
    assert np.diff(found.windows).tolist() == [n - 1 for n in LENGTHS]
    assert len(found.ids) == sum(n - 1 for n in LENGTHS)


@pytest.mark.parametrize("options", [{"batch_tokens": 1}, {"batch_tokens": 10_000}])
def test_batching_changes_nothing(options: dict[str, int]) -> None:
    model = tiny_model("gpt_neox")
    one, other = _extract(model, batch_tokens=24), _extract(model, **options)
    np.testing.assert_array_equal(one.ids, other.ids)
    np.testing.assert_allclose(one.gold_logprob, other.gold_logprob, atol=1e-5)


@pytest.mark.parametrize("architecture", ["llama", "gemma2"])
def test_tiling_the_head_changes_nothing(monkeypatch: pytest.MonkeyPatch, architecture: str) -> None:
    model = tiny_model(architecture)
    whole = _extract(model)
    monkeypatch.setattr(likeliest, "TILE_ROWS", 7)
    monkeypatch.setattr(likeliest, "TILE_WIDTH", 33)
    np.testing.assert_array_equal(whole.ids, _extract(model).ids)


def test_files_hold_what_memory_holds(tmp_path: Path) -> None:
    """But for the gold token's log-probability, of which half precision keeps 11 bits."""
    model = tiny_model("llama")
    in_memory, stored = _extract(model), _extract_to(tmp_path, model).block(0, len(LENGTHS))
    for name in ("ids", "logprobs", "leftover", "input_ids", "ends", "windows", "token_offsets", "closed"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(in_memory, name), err_msg=name)
    np.testing.assert_allclose(stored.gold_logprob, in_memory.gold_logprob, rtol=2**-11, atol=1e-6)


def _extract_to(folder: Path, model: Any, **options: Any) -> DistributionStore:
    return extract_to(folder, model, _encodings(), [False] * len(LENGTHS), k=5, **options)


@pytest.mark.slow
@settings(max_examples=12)
@given(
    batch_tokens=st.integers(1, 60),
    shard_rows=st.integers(1, 40),
    order=st.permutations(range(len(LENGTHS))),
)
def test_neither_batches_nor_shards_nor_order_change_a_window(
    tmp_path_factory: pytest.TempPathFactory, batch_tokens: int, shard_rows: int, order: list[int]
) -> None:
    model, encodings = tiny_model("llama"), _encodings()
    whole = _extract(model)
    store = extract_to(
        tmp_path_factory.mktemp("s"),
        model,
        [encodings[i] for i in order],
        [False] * len(order),
        k=5,
        batch_tokens=batch_tokens,
        shard_rows=shard_rows,
    )
    found = store.block(0, len(order))
    for place, index in enumerate(order):
        here, there = found.rows(place), whole.rows(index)
        np.testing.assert_array_equal(found.ids[here], whole.ids[there])
        np.testing.assert_allclose(found.logprobs[here], whole.logprobs[there], rtol=2e-3, atol=1e-5)
        np.testing.assert_allclose(found.gold_logprob[here], whole.gold_logprob[there], rtol=1e-3, atol=1e-5)


def test_a_killed_extraction_goes_on_and_says_what_it_kept(tmp_path: Path) -> None:
    model, seen = tiny_model("llama"), []

    def killed(*progress: int) -> None:
        if progress[0] >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _extract_to(tmp_path, model, shard_rows=8, batch_tokens=12, report=killed)
    whole = _extract_to(tmp_path, model, shard_rows=8, report=lambda *progress: seen.append(progress))
    assert 0 < seen[0][0] < len(LENGTHS) and seen[-1] == (len(LENGTHS), len(LENGTHS))
    np.testing.assert_array_equal(whole.block(0, len(LENGTHS)).ids, _extract(model).ids)


def test_a_finished_extraction_reads_nothing_again_unless_the_model_changed(tmp_path: Path) -> None:
    first: list[int] = []
    for model in (tiny_model("llama"), tiny_model("llama"), tiny_model("llama", seed=1)):
        seen: list[int] = []
        found = _extract_to(tmp_path, model, report=lambda done, total, seen=seen: seen.append(done))
        first.append(seen[0])
        np.testing.assert_array_equal(found.block(0, len(LENGTHS)).ids, _extract(model).ids)
    assert first == [0, len(LENGTHS), 0]


def _embedding_rows(model: Any) -> None:
    model.get_input_embeddings().weight[11] += 1
    model.get_output_embeddings().weight[14] += 1


def _buffer(model: Any) -> None:
    model.model.rotary_emb.inv_freq[1] *= 2


def _activation(model: Any) -> None:
    model.config.hidden_act = "relu"


@pytest.mark.parametrize("change", [_embedding_rows, _buffer, _activation])
def test_shards_of_a_model_that_differs_in_little_are_not_kept(
    tmp_path: Path, change: Callable[[Any], None]
) -> None:
    """Two rows of the embeddings, one frequency of the positions, or the configuration alone."""
    _extract_to(tmp_path, tiny_model("llama"))
    other, seen = tiny_model("llama"), []
    with torch.no_grad():
        change(other)
    found = _extract_to(tmp_path, other, report=lambda done, total: seen.append(done))
    assert seen[0] == 0
    np.testing.assert_array_equal(found.block(0, len(LENGTHS)).ids, _extract(other).ids)


def test_shards_are_kept_wherever_the_model_was_loaded_from(tmp_path: Path) -> None:
    _extract_to(tmp_path, tiny_model("llama"))
    moved, seen = tiny_model("llama"), []
    moved.config._name_or_path = "/another/folder"
    _extract_to(tmp_path, moved, report=lambda done, total: seen.append(done))
    assert seen[0] == len(LENGTHS)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_models_of_any_precision_are_told_apart(dtype: torch.dtype) -> None:
    half, wide = (tiny_model("llama").to(kind) for kind in (dtype, torch.float32))
    assert extraction._origin(half) == extraction._origin(tiny_model("llama").to(dtype))
    assert extraction._origin(half) != extraction._origin(wide)


def test_logits_that_are_not_finite_name_window_and_model(tmp_path: Path) -> None:
    """The broken embedding is read in window 3 only, which is in the second shard."""
    model, encodings = tiny_model("llama"), _encodings()
    for number, encoding in enumerate(encodings):
        encoding.input_ids[:] = 5 if number != 3 else 7
    with torch.no_grad():
        model.get_input_embeddings().weight[7] = float("nan")
    for call in (extract, partial(extract_to, tmp_path, shard_rows=10)):
        with pytest.raises(FusionError, match="llama, window 3: logits are not finite"):
            call(model, encodings, [False] * len(LENGTHS), k=5)


@pytest.mark.parametrize("lengths", [(), (0,), (1,), (0, 1, 1, 0)])
def test_windows_that_predict_nothing_have_no_rows(tmp_path: Path, lengths: tuple[int, ...]) -> None:
    encodings = [Encoding(np.zeros(n, np.int32), np.ones(n, np.int32)) for n in lengths]
    closed = [False] * len(lengths)
    assert extract(tiny_model("llama"), encodings, closed, k=5).ids.shape == (0, 5)
    assert extract_to(tmp_path, tiny_model("llama"), encodings, closed, k=5).rows_count == 0


@pytest.mark.parametrize("k", [0, VOCABULARY + 1])
def test_k_must_fit_the_vocabulary_before_anything_is_touched(tmp_path: Path, k: int) -> None:
    model = tiny_model("llama")
    _extract_to(tmp_path, model)
    with pytest.raises(FusionError, match=f"top-{k} of a vocabulary of {VOCABULARY}"):
        extract_to(tmp_path, model, _encodings(), [False] * len(LENGTHS), k=k)
    assert DistributionStore.load(tmp_path).top_k == 5


@pytest.mark.parametrize("count", [0, len(LENGTHS) - 1, len(LENGTHS) + 1])
def test_closed_is_one_word_for_each_window(tmp_path: Path, count: int) -> None:
    for call in (extract, partial(extract_to, tmp_path / "new")):
        with pytest.raises(FusionError, match=f"closed .* {count} entries for {len(LENGTHS)} windows"):
            call(tiny_model("llama"), _encodings(), [False] * count, k=5)
    assert not (tmp_path / "new").exists()


def test_tokens_beyond_the_logits_are_an_error() -> None:
    """A tokenizer that knows more tokens than the model's logits are wide."""
    encodings = _encodings()
    encodings[4].input_ids[2] = VOCABULARY
    with pytest.raises(FusionError, match="window 4 has token 96, beyond the model's vocabulary of 96"):
        extract(tiny_model("llama"), encodings, [False] * len(LENGTHS), k=5)


def test_all_tokens_of_the_vocabulary_can_be_kept() -> None:
    found = extract(tiny_model("llama"), _encodings(), [False] * len(LENGTHS), k=VOCABULARY)
    assert (np.sort(found.ids, axis=1) == np.arange(VOCABULARY)).all()
    np.testing.assert_allclose(found.leftover, 0, atol=1e-5)


def test_batches_hold_every_window_once_and_keep_to_the_limit() -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 200).tolist()
    batches = list(length_batches(lengths, 100))
    assert sorted(i for b in batches for i in b) == list(range(200))
    assert all(max(lengths[i] for i in b) * len(b) <= 100 for b in batches)


def test_a_head_that_does_more_than_is_known_is_refused() -> None:
    model = tiny_model("llama")
    original = model.forward
    model.forward = lambda **inputs: _shifted(original(**inputs))
    with pytest.raises(FusionError, match="not a plain projection"):
        split_model(model)


def _shifted(output: Any) -> Any:
    output.logits = output.logits + 5.0
    return output
