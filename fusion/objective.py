"""The training objective: causal language modelling plus fusion with a teacher, over sparse targets.

    N   positions of a batch (any order)       D   width of the hidden states
    V   vocabulary                             K   entries of a teacher's row; -1 where there is none

L = lambda * L_CLM + (1 - lambda) * L_fusion (Wan et al. 2024, "Knowledge Fusion of Large Language Models",
eq. 5). Row t of the hidden states is compared with what comes after token t: with label input_ids[t + 1], and
with the teacher's row t. Labels must be shifted already.

Positions are taken in chunks and gradients formed with the loss (fusion.chunked_loss), so that [N, V] is
never held and the head runs once per position.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from fusion.chunked_loss import LossRows, PartWeights, chunked_sums, label_rows
from fusion.errors import FusionError, one_of
from fusion.lm_head import Head

IGNORED = -100

Loss = Literal["ce", "kl"]
Leftover = Literal["residual", "renormalise"]
WithoutTeacher = Literal["gold", "mask", "current"]


class SparseTeacher(NamedTuple):
    """Next-token distributions to learn from, one row per position.

    `leftover` is the probability of all tokens that are not listed. Ids within a row differ from each other.
    """

    ids: Tensor  # [N, K] int64, -1 where there is no entry
    probabilities: Tensor  # [N, K] float32, 0 where there is no entry
    leftover: Tensor  # [N] float32
    kept: Tensor  # [N] bool, whether the position has a teacher


class FusionLoss(NamedTuple):
    """`total` to be minimised, and its two parts (without their weights); scalars, float32, nats.

    With a teacher, gradients flow through `total` alone.
    """

    total: Tensor
    causal_lm: Tensor
    fusion: Tensor


def check_choices(
    *,
    lm_loss_weight: float,
    temperature: float,
    loss: str,
    leftover: str,
    without_teacher: str,
    chunk: int | None,
) -> None:
    """Refuse what `fusion_loss` would take for something else."""
    one_of("loss", loss, Loss)
    one_of("leftover", leftover, Leftover)
    one_of("without_teacher", without_teacher, WithoutTeacher)
    if not 0.0 <= lm_loss_weight <= 1.0:
        raise FusionError(
            f"lm_loss_weight is {lm_loss_weight}, which is not within 0 and 1",
            remedy="give a number from 0 (fusion alone) to 1 (causal LM alone)",
        )
    if not 0.0 < temperature < math.inf:
        raise FusionError(
            f"temperature is {temperature}, but divides logits", remedy="give a number above 0; 1 leaves them"
        )
    if chunk is not None and chunk < 1:
        raise FusionError(
            f"chunk is {chunk}, but counts the positions held at a time", remedy="give 1 or more, or None"
        )


@dataclass(frozen=True)
class _Rule:
    """How a row's target is made."""

    temperature: float
    loss: Loss
    leftover: Leftover
    without_teacher: WithoutTeacher


def fusion_loss(
    hidden: Tensor,
    head: Head,
    labels: Tensor,
    teacher: SparseTeacher | None,
    *,
    lm_loss_weight: float,
    temperature: float = 1.0,
    loss: Loss = "ce",
    leftover: Leftover = "residual",
    without_teacher: WithoutTeacher = "gold",
    current: Tensor | None = None,
    chunk: int | None = None,
    denominator: Tensor | float | None = None,
    fusion_denominator: Tensor | float | None = None,
) -> FusionLoss:
    """Loss of hidden states [N, D], of which `head` makes logits [n, V] for n rows at a time.

    Its gradient may be taken once, for the hidden states and all leaf tensors that the head reads; they are
    formed here, so a step costs the memory of one chunk of logits. Under torch.no_grad only the loss is.

    labels [N]: the next token, IGNORED where there is none; such rows count in neither part.
    teacher: None for plain causal language modelling, through the same code (total is then causal_lm).
    temperature: divides the student's logits and the teacher's log-probabilities, in the fusion part alone.
        The loss is not multiplied by its square. (The authors' code divides the teacher's logits alone,
        and does not multiply either; with their published 1.0 it is all the same.)
    loss: "kl" is "ce" less the teacher's entropy; their gradients are equal.
    leftover: "residual" keeps the mass outside the teacher's list as one entry, compared with the student's
        mass outside that list; "renormalise" scales the list to one (the paper's).
    without_teacher: positions without one learn the label ("gold", the paper's) or nothing ("mask").
        "current" is for comparison alone: they learn the token just read, and the fusion part is a mean over
        all tokens with or without a label, as in the authors' released code. That is off by one (the logits
        there speak of the next token) and teaches a model to repeat its input.
    current [N]: for "current", the token just read, IGNORED at padding.
    chunk: positions whose logits are held at a time; by default as `default_chunk` says.
    denominator: divides both sums instead of the number of labels, for accumulation over several batches; as
        a count, it is taken for at least 1, and a batch without any label has loss 0.
    fusion_denominator: likewise for the fusion part unless under "gold"; the default is the number of rows
        that count in it (`fusion_rows`), scaled as `denominator` is to the number of labels.
    Raises FusionError on choices that there are not, numbers out of range and shapes other than these.
    """
    check_choices(
        lm_loss_weight=lm_loss_weight, temperature=temperature, loss=loss, leftover=leftover,
        without_teacher=without_teacher, chunk=chunk,
    )  # fmt: skip
    _check_shapes(hidden, labels, teacher, current)
    valid = labels != IGNORED
    count = valid.sum().clamp(min=1)
    divisor = count if denominator is None else _at_least_one(denominator)
    if teacher is None:
        weights, rows = PartWeights(1.0 / divisor, 0.0), label_rows(labels.clamp(min=0), valid)
        fusion_divisor, temperature = divisor, 1.0
    else:
        rows = _rows(teacher, labels, current, _Rule(temperature, loss, leftover, without_teacher))
        fusion_divisor = divisor
        if without_teacher != "gold":
            own = rows.taught.sum().clamp(min=1) * (divisor / count)
            fusion_divisor = own if fusion_denominator is None else _at_least_one(fusion_denominator)
        weights = PartWeights(lm_loss_weight / divisor, (1.0 - lm_loss_weight) / fusion_divisor)
    counted = rows.labelled | rows.taught
    if not counted.all():  # padding costs nothing
        hidden, rows = hidden[counted], rows.part(counted)
    size = default_chunk(hidden.shape[-1]) if chunk is None else chunk
    total, causal_lm, fusion = chunked_sums(hidden, head, rows, weights, temperature, size)
    if teacher is None:
        return FusionLoss(total, total, torch.zeros_like(total))
    return FusionLoss(total, causal_lm / divisor, fusion / fusion_divisor)


def _check_shapes(
    hidden: Tensor, labels: Tensor, teacher: SparseTeacher | None, current: Tensor | None
) -> None:
    """Every tensor has one row per hidden state; a teacher has one column at least."""
    n = hidden.shape[0]
    found = {"hidden": (hidden, (n, hidden.shape[-1])), "labels": (labels, (n,))}
    if current is not None:
        found["current"] = current, (n,)
    if teacher is not None:
        wide = (n, max(teacher.ids.shape[-1], 1))
        expected = wide, wide, (n,), (n,)
        pairs = zip(teacher, expected, strict=True)
        found |= {f"teacher.{name}": pair for name, pair in zip(teacher._fields, pairs, strict=True)}
    for name, (tensor, shape) in found.items():
        if tensor.shape != shape:
            raise FusionError(
                f"{name} has the shape {list(tensor.shape)}, not {list(shape)}, for hidden states of "
                f"{list(hidden.shape)}",
                remedy="flatten [batch, length, ...] to [positions, ...] alike in all of them",
            )


def _at_least_one(count: Tensor | float) -> Tensor:
    return torch.as_tensor(count).clamp(min=1)


def default_chunk(width: int) -> int:
    """Positions whose logits are held at a time, for hidden states of `width` D.

    D / 2 rows of logits are half the size of the head's weight, [V, D]. Far fewer would save little beside
    that weight's gradient, and would read and write this gradient too often for the work done on it; beyond
    512 rows nothing gets faster.
    """
    return min(max(width // 2, 64), 512)


def fusion_rows(
    labels: Tensor, teacher: SparseTeacher, current: Tensor | None, without_teacher: WithoutTeacher
) -> Tensor:
    """Whether each position [N] counts in the fusion part."""
    one_of("without_teacher", without_teacher, WithoutTeacher)
    if without_teacher == "current":
        if current is None:
            raise FusionError(
                'without_teacher "current" needs the token just read at each position',
                remedy="pass current=input_ids, with -100 at padding",
            )
        return current != IGNORED
    valid = labels != IGNORED
    return valid if without_teacher == "gold" else valid & _speaks(teacher)


def _speaks(teacher: SparseTeacher) -> Tensor:
    """Whether a row has a teacher that lists anything."""
    return teacher.kept & (teacher.probabilities.sum(-1) > 0)


def _rows(teacher: SparseTeacher, labels: Tensor, current: Tensor | None, rule: _Rule) -> LossRows:
    """What each position is to learn: the teacher's row under the rule, or one token."""
    counted = fusion_rows(labels, teacher, current, rule.without_teacher)
    taught = counted & _speaks(teacher)
    tokens = current if current is not None and rule.without_teacher == "current" else labels
    probabilities, leftover = _prepared(teacher, rule)
    probabilities = torch.where(taught[:, None], probabilities, _alone(1.0, probabilities, 0.0))
    leftover = torch.where(taught, leftover, 0.0)
    ids = torch.where(taught[:, None], teacher.ids, _alone(tokens.clamp(min=0), teacher.ids, -1))
    listed = ids >= 0
    any_listed = ids.gather(-1, listed.int().argmax(-1, keepdim=True)).clamp(min=0)
    constant = torch.zeros_like(leftover)
    if rule.loss == "kl":
        constant = torch.xlogy(probabilities, probabilities).sum(-1) + torch.xlogy(leftover, leftover)
    return LossRows(
        labels.clamp(min=0), labels != IGNORED, torch.where(listed, ids, any_listed), listed,
        probabilities, leftover, constant, counted,
    )  # fmt: skip


def _alone(first: Tensor | float, like: Tensor, others: float) -> Tensor:
    """`first` in the first column and `others` elsewhere; the shape and dtype of `like` [N, K]."""
    row = torch.full_like(like, others)
    row[:, 0] = first
    return row


def _prepared(teacher: SparseTeacher, rule: _Rule) -> tuple[Tensor, Tensor]:
    """Probabilities [N, K] and leftover [N] that add up to one; temperature flattens both."""
    probabilities = teacher.probabilities.float() * (teacher.ids >= 0)
    leftover = teacher.leftover.float()
    if rule.leftover == "renormalise":
        leftover = torch.zeros_like(leftover)
    if rule.temperature != 1.0:
        probabilities = probabilities.pow(1.0 / rule.temperature)
        leftover = leftover.pow(1.0 / rule.temperature)
    total = (probabilities.sum(-1) + leftover).clamp(min=1e-30)
    return probabilities / total[:, None], leftover / total
