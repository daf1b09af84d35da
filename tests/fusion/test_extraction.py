"""Stored distributions are the model's own, however windows are batched, chunked or padded."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fusion import extraction
from fusion.decoder import split_model
from fusion.distributions import Distributions
from fusion.errors import FusionError
from fusion.extraction import extract, length_batches
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


def test_chunking_the_head_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama")
    whole = _extract(model)
    monkeypatch.setattr(extraction, "_CHUNK_LOGITS", 3 * VOCABULARY)
    np.testing.assert_array_equal(whole.ids, _extract(model).ids)


def test_files_hold_what_memory_holds(tmp_path: Path) -> None:
    model = tiny_model("llama")
    in_memory = _extract(model)
    _extract(model, folder=tmp_path)
    np.testing.assert_array_equal(Distributions.load(tmp_path).logprobs, in_memory.logprobs)


def test_logits_that_are_not_finite_name_window_and_model() -> None:
    model = tiny_model("llama")
    with torch.no_grad():
        model.get_output_embeddings().weight[3] = float("nan")
    with pytest.raises(FusionError, match="llama, window 2: logits are not finite"):
        _extract(model)


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
