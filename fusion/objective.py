"""The training objective: causal LM loss plus fusion loss against a sparse teacher (`fusion_loss`).

    N   positions of a batch (any order)       D   width of the hidden states
    V   vocabulary                             K   entries of a teacher row, padded with -1

L = lambda * L_CLM + (1 - lambda) * L_fusion (Wan et al. 2024, "Knowledge Fusion of Large Language Models",
eq. 5). Row t of the hidden states predicts the token after token t: its label is input_ids[t + 1], its
teacher is row t. Labels must already be shifted.

Positions are processed in chunks, and gradients are computed with the loss (fusion.chunked_loss), so that
logits [N, V] are never held at once and the head runs once per position.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from fusion.choices import Leftover, Loss, WithoutTeacher
from fusion.chunked_loss import LossRows, PartWeights, chunked_sums, label_rows
from fusion.errors import FusionError, one_of
from fusion.lm_head import Head
from fusion.method import DEFAULTS

IGNORED = -100


class SparseTeacher(NamedTuple):
    """Fused next-token distributions to learn from, one row per position.

    `leftover` is the total probability of tokens that are not listed. Ids within a row are distinct.
    """

    ids: Tensor  # [N, K] int64, -1 where there is no entry
    probabilities: Tensor  # [N, K] float32, 0 where there is no entry
    leftover: Tensor  # [N] float32
    kept: Tensor  # [N] bool, whether the position has a teacher


class FusionLoss(NamedTuple):
    """`total`, to be minimised, and its two parts without their weights; scalars, float32, nats.

    With a teacher, only `total` has gradients.
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
    """Raise FusionError for a choice that `fusion_loss` does not know, or a number out of range."""
    one_of("loss", loss, Loss)
    one_of("leftover", leftover, Leftover)
    one_of("without_teacher", without_teacher, WithoutTeacher)
    if not 0.0 <= lm_loss_weight <= 1.0:
        raise FusionError(
            f"lm_loss_weight is {lm_loss_weight}, which is not between 0 and 1",
            remedy="give a number from 0 (fusion alone) to 1 (causal LM alone)",
        )
    if not 0.0 < temperature < math.inf:
        raise FusionError(
            f"temperature is {temperature}, but logits are divided by it",
            remedy="give a finite number above 0; 1 changes nothing",
        )
    if chunk is not None and chunk < 1:
        raise FusionError(
            f"chunk is {chunk}, but it is a number of positions", remedy="give 1 or more, or None"
        )


@dataclass(frozen=True)
class _Rule:
    """How the distribution that a row learns is made."""

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
    temperature: float = DEFAULTS.temperature,
    loss: Loss = DEFAULTS.loss,
    leftover: Leftover = DEFAULTS.leftover,
    without_teacher: WithoutTeacher = DEFAULTS.without_teacher,
    current: Tensor | None = None,
    chunk: int | None = None,
    denominator: Tensor | float | None = None,
    fusion_denominator: Tensor | float | None = None,
) -> FusionLoss:
    """Loss of hidden states [N, D]; `head` computes their logits [n, V] for n rows at a time.

    Gradients for the hidden states and all leaf tensors of the head are computed here, together with the
    loss, so a step needs memory for one chunk of logits; `backward` can be called once. Under torch.no_grad
    only the loss is computed.

    labels [N]: the next token, or IGNORED where there is none; such rows do not count in either part.
    teacher: None for plain causal language modelling, through the same code (total is then causal_lm).
    temperature: divides the target model's logits and the teacher's log-probabilities, in the fusion part
        only. The loss is not multiplied by its square. (The authors' code divides only the teacher's logits,
        and does not multiply either; at their published value of 1.0 this makes no difference.)
    loss: "kl" is "ce" minus the teacher's entropy; their gradients are equal.
    leftover: "residual" treats the probability outside the teacher's list as one entry, compared with the
        target model's probability outside that list; "renormalise" scales the list to one (the paper's).
    without_teacher: positions without a teacher row learn the label ("gold", the paper's) or nothing
        ("mask"). "current" is for comparison only: they learn the token just read, and the fusion part is a
        mean over all tokens with or without a label, as in the authors' released code. That is off by one
        (the logits there predict the next token) and trains a model to repeat its input.
    current [N]: for "current", the token just read, IGNORED at padding.
    chunk: number of positions whose logits are held at a time; default: `default_chunk`.
    denominator: divides both sums instead of the number of labels, for gradient accumulation over batches. It
        is a count, so values below 1 are taken as 1; a batch without labels has loss 0.
    fusion_denominator: the same for the fusion part, except under "gold"; default: the number of rows that
        count in it (`fusion_rows`), scaled by `denominator` / number of labels.
    Raises FusionError for unknown choices, numbers out of range and shapes other than these.
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
    """Check that every tensor has one row per hidden state, and a teacher at least one column."""
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
                remedy="flatten [batch, length, ...] to [positions, ...] in the same way for all of them",
            )


def _at_least_one(count: Tensor | float) -> Tensor:
    return torch.as_tensor(count).clamp(min=1)


def default_chunk(width: int) -> int:
    """Number of positions whose logits are held at a time, for hidden states of `width` D.

    D / 2 rows of logits are half the size of the head's weight [V, D]. With far fewer rows the memory saved
    is small compared with that weight's gradient, and the gradient is read and written too often; more than
    512 rows are no faster.
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
    """Whether each row has a teacher with at least one entry of positive probability [N]."""
    return teacher.kept & (teacher.probabilities.sum(-1) > 0)


def _rows(teacher: SparseTeacher, labels: Tensor, current: Tensor | None, rule: _Rule) -> LossRows:
    """What each position learns: its teacher row, prepared by the rule, or a single token."""
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
    """Probabilities [N, K] and leftover [N] that add up to one, after the temperature is applied to both."""
    probabilities = teacher.probabilities.float() * (teacher.ids >= 0)
    leftover = teacher.leftover.float()
    if rule.leftover == "renormalise":
        leftover = torch.zeros_like(leftover)
    if rule.temperature != 1.0:
        probabilities = probabilities.pow(1.0 / rule.temperature)
        leftover = leftover.pow(1.0 / rule.temperature)
    total = (probabilities.sum(-1) + leftover).clamp(min=1e-30)
    return probabilities / total[:, None], leftover / total
