"""A training step with the fusion loss, against transformers' causal LM loss and a dense fusion loss.

One forward and backward pass of a Llama with 4 layers of width 256 and a vocabulary of 49,152, on one
sequence of 512 tokens in float32. Time: all in turn in one process. Memory: `extra_peak` of one step, after a
step of a small model on 16 tokens. The dense loss is the same loss (tokens that the teacher does not list are
one entry) with a teacher [N, V]. Its value is compared with ours, and the control's loss with transformers'.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import Bar, Row, Timed, alternate, extra_peak
from fusion.decoder import split_model
from fusion.objective import IGNORED, SparseTeacher, fusion_loss

SOURCES = {"control": 0, "fusion, 1 source": 1, "fusion, 2 sources": 2}
PLAIN, DENSE = "transformers' causal LM step", "dense [N, V] teacher"
SAME = {("control", PLAIN), ("fusion, 2 sources", DENSE)}  # compute the same loss
K = 10
LM_LOSS_WEIGHT = 0.9
TOLERANCE = 1e-5  # of the loss, relative


@dataclass(frozen=True)
class Size:
    """Size of the model and of its one sequence."""

    layers: int = 4
    width: int = 256
    vocabulary: int = 49_152
    length: int = 512


QUICK = Size(layers=1, width=64, vocabulary=4096, length=128)


def cases(quick: bool, models: Sequence[Path]) -> Iterator[Row]:  # noqa: ARG001
    """Control, one and two merged sources, each against plain causal LM; two sources against a dense loss.

    The model's size is fixed by the project's requirement; `models` are not used.
    """
    names, size = (*SOURCES, PLAIN, DENSE), QUICK if quick else Size()
    peaks = {name: None if quick else extra_peak("benchmarks.objective", name) for name in names}
    timed = alternate(*(_step(name, size) for name in names), rounds=1 if quick else 5)
    steps = dict(zip(names, timed, strict=True))
    for name in SOURCES:
        yield _row(name, PLAIN, steps, peaks, judged=not quick)
    yield _row("fusion, 2 sources", DENSE, steps, peaks, judged=False)


def _row(
    name: str, reference: str, steps: dict[str, Timed], peaks: dict[str, float | None], *, judged: bool
) -> Row:
    ours, plain = steps[name], steps[reference]
    gap = abs(ours.result - plain.result) / abs(plain.result)
    same = (name, reference) in SAME
    return Row(
        case=f"training step, {name}",
        ours="chunked, sparse teacher",
        reference=reference,
        seconds=ours.seconds,
        reference_seconds=plain.seconds,
        extra_peak_mib=peaks[name],
        reference_extra_peak_mib=peaks[reference],
        bars=_bars(ours.seconds / plain.seconds, peaks[name], peaks[PLAIN]) if judged else (),
        outputs_agree=gap <= TOLERANCE if same else None,
        counted={"loss": ours.result} | ({"loss differs by, relative": gap} if same else {}),
    )


def _bars(time: float, peak: float | None, plain_peak: float | None) -> tuple[Bar, ...]:
    bars = (Bar("time x of plain", "at most", 1.0, time),)
    if peak is None or plain_peak is None:
        return bars
    return (*bars, Bar("extra peak x of plain", "at most", 0.5, peak / plain_peak))


def prepare(name: str) -> Callable[[], object]:
    """One step of a loss, for `extra_peak`."""
    _step(name, Size(width=64, vocabulary=512, length=16))()
    return _step(name, Size())


def _step(name: str, size: Size) -> Callable[[], float]:
    """One forward and backward pass; gradients are dropped afterwards, as `zero_grad` does."""
    model = _model(size)
    loss = _LOSSES.get(name, partial(_ours, sources=SOURCES.get(name, 0)))
    compute = loss(model, _ids(size))

    def step() -> float:
        value = compute()
        torch.autograd.backward(value)
        model.zero_grad(set_to_none=True)
        return value.item()

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
    """A teacher with K entries per source at every position, distinct within a row."""
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
    """The straightforward loss: a dense teacher [N, V] and all log-probabilities of the model."""
    teacher = _teacher(ids, model.config.vocab_size, 2)
    labels = torch.cat([ids[0, 1:], torch.tensor([IGNORED])])

    def compute() -> Tensor:
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0]
        logprobs = logits.log_softmax(-1)
        target = torch.zeros_like(logits).scatter_(-1, teacher.ids, teacher.probabilities)
        unlisted = torch.log1p(-logprobs.gather(-1, teacher.ids).exp().sum(-1))
        fusion = -(target * logprobs).sum(-1) - teacher.leftover * unlisted
        clm = torch.nn.functional.nll_loss(logprobs, labels, ignore_index=IGNORED)
        total: Tensor = LM_LOSS_WEIGHT * clm + (1 - LM_LOSS_WEIGHT) * fusion[:-1].mean()
        return total

    return compute


_LOSSES: dict[str, Callable[[Any, Tensor], Callable[[], Tensor]]] = {PLAIN: _plain, DENSE: _dense}
