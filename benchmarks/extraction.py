"""Extraction of distributions, against a bare forward pass and a straightforward implementation.

The bare forward pass computes all logits of the same length-bucketed batches and keeps nothing. The
straightforward implementation takes windows in the corpus's order, pads a batch to its longest window, holds
all its logits, and applies log-softmax and `topk`. All three are warmed up on one short window and then
called in turn, equally often. Memory is measured for one batch: the first two windows, one of them the
longest. For this batch our output is compared with the plain log-softmax, by rank and by token, so that only
ties may be resolved differently. Our time includes the check that body and head equal the model (24 tokens),
which runs once per corpus.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import Bar, Row, alternate, extra_peak
from fusion.distributions import Distributions
from fusion.extraction import extract, extract_to, length_batches
from fusion.tokens import Encoding

K = 10
TOLERANCE = 0.02  # nats: half precision has steps of 1/64 from 16 nats on
MADE = "made"  # a randomly initialised Llama instead of a folder: made:VOCABULARY:WIDTH:LAYERS
NAMES = (f"{MADE}:49152:512:12", f"{MADE}:262144:512:12")
QUICK = (f"{MADE}:4096:64:2",)


@dataclass(frozen=True)
class Setting:
    """A model, the windows that it reads, and the number of tokens of a batch."""

    model: Any
    encodings: list[Encoding]
    batch_tokens: int

    def part(self, windows: int, tokens: int | None = None) -> "Setting":
        """The same with only the first windows, each cut to `tokens` tokens."""
        cut = [Encoding(e.input_ids[:tokens], e.ends[:tokens]) for e in self.encodings[:windows]]
        return Setting(self.model, cut, self.batch_tokens)


def cases(quick: bool, models: Sequence[Path]) -> Iterator[Row]:
    """Random models of two vocabulary sizes, then the real models."""
    for name in (*(QUICK if quick else NAMES), *map(str, models)):
        yield from _against_both(name, quick)


def _against_both(name: str, quick: bool) -> Iterator[Row]:
    setting = _setting(name, 64 if quick else 512)
    for way in WAYS.values():
        way(setting.part(1, 16))
    ours, forward, plain = (
        timed.seconds
        for timed in alternate(*(partial(way, setting) for way in WAYS.values()), rounds=2, warmed=True)
    )
    row = partial(Row, _title(name, setting.model), "fusion.extraction.extract")
    counted, gap = _disk(setting), _largest_gap(setting.part(2))
    del setting  # free the memory before memory is measured
    peaks = {way: None if quick else extra_peak("benchmarks.extraction", way, name) for way in WAYS}
    yield row(
        "bare forward of the same batches", ours, forward, peaks["ours"], peaks["forward"],
        bars=() if quick else (Bar("speed x of the bare forward", "at least", 0.95, forward / ours),),
        counted=counted,
    )  # fmt: skip
    yield row(
        "all logits of a padded batch, log_softmax and topk", ours, plain,
        peaks["ours"], peaks["straightforward"],
        outputs_agree=gap <= TOLERANCE,
        counted={"largest difference, nats": gap},
    )  # fmt: skip


def prepare(way: str, name: str) -> Callable[[], object]:
    """Extraction of one batch in the named way, for `extra_peak`."""
    setting = _setting(name, 512).part(2)
    WAYS[way](setting.part(1, 16))
    return partial(WAYS[way], setting)


# --- models and windows


def _setting(name: str, longest: int) -> Setting:
    """Windows of log-normal lengths, as documents have; the first is the longest and fills half a batch."""
    model, draw = _model(name), np.random.default_rng(0)
    lengths = np.clip(draw.lognormal(np.log(longest / 2), 0.7, 4), 2, longest).astype(int)
    vocabulary = _width(model)
    windows = [draw.integers(5, vocabulary, n).astype(np.int32) for n in [longest, *lengths]]
    encodings = [Encoding(w, np.arange(1, len(w) + 1, dtype=np.int32)) for w in windows]
    return Setting(model, encodings, 2 * longest)


def _model(name: str) -> Any:
    if not name.startswith(f"{MADE}:"):
        from fusion.models import load_model

        return load_model(Path(name)).eval()
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    vocabulary, width, layers = map(int, name.split(":")[1:])
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=3 * width, num_hidden_layers=layers,
        num_attention_heads=8, num_key_value_heads=8, tie_word_embeddings=True,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def _width(model: Any) -> int:
    return int(model.get_output_embeddings().weight.shape[0])


def _title(name: str, model: Any) -> str:
    what = "random Llama" if name.startswith(f"{MADE}:") else Path(name).name
    return f"extraction, {what}, V = {_width(model):,}"


def _disk(setting: Setting) -> dict[str, float | str]:
    """Tokens read, and bytes per row on disk without the file headers, whose size is fixed."""
    s = setting.part(2)
    with tempfile.TemporaryDirectory() as folder:
        store = extract_to(Path(folder), s.model, s.encodings, [False] * 2, k=K, batch_tokens=s.batch_tokens)
        size = {p.stem: p.stat().st_size - 128 for p in Path(folder).glob("shard-*/*.npy")}
        rows = size["codes"] + size["logprobs"] + size["leftover"] + size["gold_logprob"]
        return {
            "tokens": sum(len(e.input_ids) for e in setting.encodings),
            "bytes a row": rows / store.rows_count,
            "bytes its token": (size["input_codes"] + size["lengths"]) / store.token_offsets[-1],
        }


@torch.inference_mode()
def _largest_gap(s: Setting) -> float:
    """Largest difference in nats between our output for a batch and the log-softmax of its logits."""
    ours, gaps = _extract(s), []
    ids, mask = _padded([e.input_ids for e in s.encodings])
    logprobs = s.model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float().log_softmax(-1)
    for window, encoding in enumerate(s.encodings):
        rows, plain = ours.rows(window), logprobs[window, : len(encoding.input_ids) - 1]
        kept, gold = torch.tensor(ours.logprobs[rows]).float(), ids[window, 1 : len(plain) + 1, None]
        gaps += [
            kept - plain.topk(K).values,
            kept - plain.gather(-1, torch.tensor(ours.ids[rows]).long()),
            torch.tensor(ours.gold_logprob[rows]) - plain.gather(-1, gold)[:, 0],
        ]
    return max(float(gap.abs().max()) for gap in gaps)


# --- the ways


def _extract(s: Setting) -> Distributions:
    return extract(s.model, s.encodings, [False] * len(s.encodings), k=K, batch_tokens=s.batch_tokens)


@torch.inference_mode()
def _forward(s: Setting) -> None:
    for batch in length_batches([len(e.input_ids) for e in s.encodings], s.batch_tokens):
        ids, mask = _padded([s.encodings[i].input_ids for i in batch])
        _ = s.model(input_ids=ids, attention_mask=mask, use_cache=False).logits


@torch.inference_mode()
def _straightforward(s: Setting) -> None:
    for start in range(0, len(s.encodings), 2):
        ids, mask = _padded([e.input_ids for e in s.encodings[start : start + 2]])
        logits = s.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        logprobs = logits.log_softmax(-1)
        kept = logprobs.topk(K, dim=-1)
        gold = logprobs[:, :-1].gather(-1, ids[:, 1:, None])
        _ = kept.values.half(), kept.indices.int(), 1 - kept.values.exp().sum(-1), gold


WAYS: dict[str, Callable[[Setting], object]] = {
    "ours": _extract,
    "forward": _forward,
    "straightforward": _straightforward,
}


def _padded(windows: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """Ids and mask [B, L], padded to the longest window of the batch."""
    lengths = torch.tensor([[len(w)] for w in windows])
    length = int(lengths.max())
    ids = torch.zeros(len(windows), length, dtype=torch.int64)
    for row, window in zip(ids, windows, strict=True):
        row[: len(window)] = torch.from_numpy(np.asarray(window, np.int64))
    return ids, (torch.arange(length) < lengths).long()
