"""A training step: the fusion loss against transformers' own causal LM loss, and against a dense fusion loss.

A Llama of 4 layers x 256, vocabulary 49,152, one sequence of 512 tokens, float32, plain SGD's backward pass.
Time: forward and backward of both in turn in one process. Memory: each alternative in a process of its own
(a process never forgets its peak), which takes one step on a 16-token sequence (so that libraries are loaded
and threads started), then notes the resident set, and takes the step; reported is the peak (VmHWM, cleared
before the step) less that. glibc is told to return what is freed (M_MMAP_THRESHOLD 1 MiB for both).
"""

import gc
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import Case, Row, alternate, in_fresh_process
from fusion.decoder import split_model
from fusion.objective import IGNORED, SparseTeacher, fusion_loss

SOURCES = {"control": 0, "fusion, 1 source": 1, "fusion, 2 sources": 2}
K = 10
LM_LOSS_WEIGHT = 0.9


@dataclass(frozen=True)
class Size:
    """Of the model and its one sequence."""

    layers: int = 4
    width: int = 256
    vocabulary: int = 49_152
    length: int = 512


QUICK = Size(layers=1, width=64, vocabulary=4096, length=128)


def cases(quick: bool) -> Iterator[Case]:
    """Control, one and two merged sources, each against plain CLM; two sources against a dense loss."""
    for name in SOURCES:
        yield partial(_case, name, "plain", quick)
    yield partial(_case, "fusion, 2 sources", "dense", quick)


def _case(ours: str, reference: str, quick: bool) -> Row:
    size = QUICK if quick else Size()
    seconds = alternate(_step(ours, size), _step(reference, size), 1 if quick else 5)
    peaks = [in_fresh_process("benchmarks.objective", n, str(int(quick)))["MiB"] for n in (ours, reference)]
    return Row(
        case=f"training step, {ours}",
        ours="chunked, sparse teacher",
        reference={"plain": "transformers' causal LM step", "dense": "dense [N, V] teacher"}[reference],
        seconds=seconds[0],
        reference_seconds=seconds[1],
        bar="1.0x the time, 0.5x the extra peak" if reference == "plain" else "",
        extra={
            "extra peak MiB": peaks[0],
            "reference's extra peak MiB": peaks[1],
            "memory ratio": peaks[0] / max(peaks[1], 1e-9),
        },
    )


def _step(name: str, size: Size) -> Callable[[], None]:
    """One forward and backward pass; gradients are dropped afterwards, as `zero_grad` does."""
    model = _model(size)
    loss = _LOSSES.get(name, partial(_ours, sources=SOURCES.get(name, 0)))
    compute = loss(model, _ids(size))

    def step() -> None:
        torch.autograd.backward(compute())
        model.zero_grad(set_to_none=True)

    return step


def _model(size: Size) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "llama", vocab_size=size.vocabulary, hidden_size=size.width, num_hidden_layers=size.layers,
        intermediate_size=4 * size.width, num_attention_heads=4, num_key_value_heads=4,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config).train()


def _ids(size: Size) -> Tensor:
    return torch.randint(size.vocabulary, (1, size.length), generator=torch.Generator().manual_seed(1))


def _teacher(ids: Tensor, vocabulary: int, sources: int) -> SparseTeacher:
    """k entries a source, on every position; distinct within a row."""
    g = torch.Generator().manual_seed(2)
    rows, k = ids.shape[1], K * sources
    entries = (
        torch.randint(vocabulary, (rows, 1), generator=g) + torch.arange(k) * (vocabulary // k)
    ) % vocabulary
    mass = torch.randn(rows, k + 1, generator=g).softmax(-1)
    return SparseTeacher(entries, mass[:, :k], mass[:, k], torch.ones(rows, dtype=torch.bool))


def _ours(model: Any, ids: Tensor, *, sources: int) -> Callable[[], Tensor]:
    decoder = split_model(model)
    labels = torch.cat([ids[0, 1:], torch.tensor([IGNORED])])
    teacher = _teacher(ids, model.config.vocab_size, sources) if sources else None

    def compute() -> Tensor:
        hidden = decoder.hidden(ids, torch.ones_like(ids)).flatten(0, 1)
        return fusion_loss(hidden, decoder.head, labels, teacher, lm_loss_weight=LM_LOSS_WEIGHT).total

    return compute


def _plain(model: Any, ids: Tensor) -> Callable[[], Tensor]:
    def compute() -> Tensor:
        loss: Tensor = model(
            input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids, use_cache=False
        ).loss
        return loss

    return compute


def _dense(model: Any, ids: Tensor) -> Callable[[], Tensor]:
    """Straightforward: the teacher over the whole vocabulary, cross-entropy with soft targets."""
    teacher = _teacher(ids, model.config.vocab_size, 2)
    labels = torch.cat([ids[0, 1:], torch.tensor([IGNORED])])

    def compute() -> Tensor:
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0]
        dense = torch.zeros_like(logits).scatter_(-1, teacher.ids, teacher.probabilities)
        dense /= dense.sum(-1, keepdim=True)
        clm = torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED)
        fusion = torch.nn.functional.cross_entropy(logits[:-1], dense[:-1])
        return LM_LOSS_WEIGHT * clm + (1 - LM_LOSS_WEIGHT) * fusion

    return compute


_LOSSES: dict[str, Callable[[Any, Tensor], Callable[[], Tensor]]] = {"plain": _plain, "dense": _dense}


def _extra_peak(name: str, size: Size) -> float:
    """MiB by which one step raises the resident set of this process over what it was before."""
    _return_freed_memory()
    short = Size(size.layers, 64, 512, 16)
    _step(name, short)()
    step = _step(name, size)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM = VmRSS
    before = _status("VmRSS")
    step()
    return (_status("VmHWM") - before) / 1024


def _return_freed_memory() -> None:
    """Blocks of 1 MiB and more are mapped on their own, so that freeing them lowers the resident set."""
    import ctypes

    m_mmap_threshold = -3
    ctypes.CDLL(None).mallopt(m_mmap_threshold, 1 << 20)


def _status(name: str) -> int:
    """A size of this process in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise KeyError(name)


if __name__ == "__main__":
    print(json.dumps({"MiB": _extra_peak(sys.argv[1], QUICK if sys.argv[2] == "1" else Size())}))
