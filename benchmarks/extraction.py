"""Extraction against the bare forward pass of the same batches, and against the straightforward way of it.

The straightforward way pads every window to the longest, holds all logits of a batch, and takes `torch.topk`
and the normaliser of them; its rows are padded, too.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measure import Case, Row, alternate, in_fresh_process, real_models
from fusion.extraction import extract, extract_to, length_batches
from fusion.tokens import Encoding

K = 10
LONGEST = 512
_WIDTHS = (49_152, 262_144)
_MADE = "made:"  # prefix of a model that is made rather than read: a Llama of the width that follows


def cases(quick: bool) -> Iterator[Case]:
    """Two made models, then the real ones that the caller named."""
    names = [f"{_MADE}{width}" for width in _WIDTHS] + [str(folder) for folder in real_models()]
    for name in names:
        yield partial(_against_forward, name, quick)
        yield partial(_against_straightforward, name, quick)


def _against_forward(name: str, quick: bool) -> Row:
    model, encodings, batch_tokens = _setting(name, quick)
    ours, reference = alternate(
        lambda: _extract(model, encodings, batch_tokens),
        lambda: _forward(model, encodings, batch_tokens),
        1 if quick else 3,
    )
    return Row(
        f"extraction, {_title(name, model)}",
        "fusion.extraction.extract",
        "bare forward of the same batches",
        ours,
        reference,
        "at least 0.95x",
        {"tokens": float(sum(len(e.input_ids) for e in encodings)), **_disk(model, encodings, batch_tokens)},
    )


def _against_straightforward(name: str, quick: bool) -> Row:
    model, encodings, batch_tokens = _setting(name, quick)
    ours, reference = alternate(
        lambda: _extract(model, encodings, batch_tokens),
        lambda: _straightforward(model, encodings, batch_tokens),
        1 if quick else 2,
    )
    peaks = {
        f"peak MiB, {way}": in_fresh_process("benchmarks.extraction", way, name, str(int(quick)))["mib"]
        for way in WAYS
    }
    return Row(
        f"extraction, {_title(name, model)}",
        "fusion.extraction.extract",
        "padded windows, topk and log_softmax of all logits",
        ours,
        reference,
        extra=peaks,
    )


def _setting(name: str, quick: bool) -> tuple[Any, list[Encoding], int]:
    """Model, windows of log-normal lengths as documents have, and tokens of a batch."""
    model = _model(name, quick)
    draw = np.random.default_rng(0)
    longest, count = (64, 8) if quick else (LONGEST, 12)
    lengths = np.clip(draw.lognormal(np.log(longest / 2), 0.7, count), 2, longest).astype(int)
    vocabulary = model.get_output_embeddings().weight.shape[0]
    windows = [draw.integers(5, vocabulary, n).astype(np.int32) for n in [longest, *lengths]]
    return model, [Encoding(w, np.arange(1, len(w) + 1, dtype=np.int32)) for w in windows], 2 * longest


def _model(name: str, quick: bool) -> Any:
    if not name.startswith(_MADE):
        from fusion.models import load_model

        return load_model(Path(name))
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    layers = 2 if quick else 12
    size = 64 if quick else 512
    config = LlamaConfig(
        vocab_size=int(name.removeprefix(_MADE)),
        hidden_size=size,
        intermediate_size=3 * size,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=8,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).eval()


def _title(name: str, model: Any) -> str:
    width = model.get_output_embeddings().weight.shape[0]
    return f"{'random Llama' if name.startswith(_MADE) else Path(name).name}, V = {width:,}"


def _disk(model: Any, encodings: list[Encoding], batch_tokens: int) -> dict[str, float]:
    """Bytes that a row takes, without file headers, which do not grow with the corpus."""
    with tempfile.TemporaryDirectory() as folder:
        closed = [False] * len(encodings)
        store = extract_to(Path(folder), model, encodings, closed, k=K, batch_tokens=batch_tokens)
        size = {p.stem: p.stat().st_size - 128 for p in Path(folder).glob("shard-*/*.npy")}
        token = size["input_codes"] + size["lengths"]
        rows = size["codes"] + size["logprobs"] + size["leftover"] + size["gold_logprob"]
        return {"bytes a row": rows / store.rows_count, "bytes its token": token / store.token_offsets[-1]}


# --- the ways


def _extract(model: Any, encodings: list[Encoding], batch_tokens: int) -> None:
    extract(model, encodings, [False] * len(encodings), k=K, batch_tokens=batch_tokens)


@torch.inference_mode()
def _forward(model: Any, encodings: list[Encoding], batch_tokens: int) -> None:
    for batch in length_batches([len(e.input_ids) for e in encodings], batch_tokens):
        ids, mask = _padded([encodings[i].input_ids for i in batch])
        _ = model(input_ids=ids, attention_mask=mask, use_cache=False).logits


@torch.inference_mode()
def _straightforward(model: Any, encodings: list[Encoding], batch_tokens: int) -> None:
    longest = max(len(e.input_ids) for e in encodings)
    step = max(batch_tokens // longest, 1)
    for start in range(0, len(encodings), step):
        ids, mask = _padded([e.input_ids for e in encodings[start : start + step]], longest)
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        logprobs = logits.log_softmax(-1)
        kept = logprobs.topk(K, dim=-1)
        gold = logprobs[:, :-1].gather(-1, ids[:, 1:, None])
        _ = kept.values.half(), kept.indices.int(), 1 - kept.values.exp().sum(-1), gold


def _padded(windows: list[Any], length: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    length = max(length, *(len(w) for w in windows)) if len(windows) > 1 else max(length, len(windows[0]))
    ids = torch.zeros(len(windows), length, dtype=torch.int64)
    for row, window in zip(ids, windows, strict=True):
        row[: len(window)] = torch.from_numpy(np.asarray(window, np.int64))
    lengths = torch.tensor([[len(w)] for w in windows])
    return ids, (torch.arange(length) < lengths).long()


WAYS: dict[str, Callable[[Any, list[Encoding], int], None]] = {
    "ours": _extract,
    "forward": _forward,
    "straightforward": _straightforward,
}


def _peak(way: str, name: str, quick: bool) -> float:
    """MiB by which the process grew at its peak beyond the loaded model."""
    model, encodings, batch_tokens = _setting(name, quick)
    warm = [Encoding(e.input_ids[:4], e.ends[:4]) for e in encodings[:1]]
    WAYS[way](model, warm, batch_tokens)
    Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak of loading
    before = _resident_peak()
    WAYS[way](model, encodings, batch_tokens)
    return (_resident_peak() - before) / 1024


def _resident_peak() -> int:
    """KiB."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


if __name__ == "__main__":
    print(json.dumps({"mib": _peak(sys.argv[1], sys.argv[2], sys.argv[3] == "1")}))
