"""The training objective: causal language modelling plus fusion with a teacher, over sparse targets.

    N   positions of a batch (any order)       D   width of the hidden states
    V   vocabulary                             K   entries of a teacher's row; -1 where there is none

L = lambda * L_CLM + (1 - lambda) * L_fusion (Wan et al. 2024, "Knowledge Fusion of Large Language Models",
eq. 5). Row t of the hidden states is compared with what comes after token t: with label input_ids[t + 1], and
with the teacher's row t. Labels must be shifted already.

Positions are taken in chunks and logits recomputed in the backward pass, so that [N, V] is never held.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

IGNORED = -100
_REMOVED = -1e30  # a logit that vanishes in every sum, yet leaves gradients finite where nothing else remains

Loss = Literal["ce", "kl"]
Leftover = Literal["residual", "renormalise"]
WithoutTeacher = Literal["gold", "mask"]
Head = Callable[[Tensor], Tensor]


class SparseTeacher(NamedTuple):
    """Next-token distributions to learn from, one row per position.

    `leftover` is the probability of all tokens that are not listed. Ids within a row differ from each other.
    """

    ids: Tensor  # [N, K] int64, -1 where there is no entry
    probabilities: Tensor  # [N, K] float32, 0 where there is no entry
    leftover: Tensor  # [N] float32
    kept: Tensor  # [N] bool, whether the position has a teacher


class FusionLoss(NamedTuple):
    """`total` to be minimised, and its two parts (without their weights); scalars, float32, nats."""

    total: Tensor
    causal_lm: Tensor
    fusion: Tensor


@dataclass(frozen=True)
class _Rule:
    """How a row's loss is worked out."""

    temperature: float
    loss: Loss
    leftover: Leftover


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
    chunk: int = 1024,
    denominator: Tensor | float | None = None,
    fusion_denominator: Tensor | float | None = None,
) -> FusionLoss:
    """Loss of hidden states [N, D], of which `head` makes logits [n, V] for n rows at a time.

    labels [N]: the next token, IGNORED where there is none; such rows count in neither part.
    teacher: None for plain causal language modelling, through the same code (total is then causal_lm).
    temperature: divides the student's logits and the teacher's log-probabilities, in the fusion part alone.
        The loss is not multiplied by its square. (The authors' code divides the teacher's logits alone,
        and does not multiply either; with their published 1.0 it is all the same.)
    loss: "kl" is "ce" less the teacher's entropy; their gradients are equal.
    leftover: "residual" keeps the mass outside the teacher's list as one entry, compared with the student's
        mass outside that list; "renormalise" scales the list to one (the paper's).
    without_teacher: positions without one learn the label ("gold", the paper's) or nothing ("mask").
    denominator: divides both sums instead of the number of labels, for accumulation over several batches.
    fusion_denominator: likewise for the fusion part under "mask", where the default is the number of rows
        with a teacher, scaled as `denominator` is to the number of labels.
    """
    valid = labels != IGNORED
    rule = _Rule(temperature, loss, leftover)
    targets = None if teacher is None else _targets(teacher, labels, rule, without_teacher)
    sums = _chunked_sums(hidden, head, labels, targets, rule, chunk)
    count = valid.sum().clamp(min=1)
    divisor = count if denominator is None else denominator
    causal_lm = sums[0] / divisor
    if targets is None:
        return FusionLoss(causal_lm, causal_lm, torch.zeros_like(causal_lm))
    if without_teacher == "mask":
        rows = targets.kept.sum().clamp(min=1)
        divisor = rows * divisor / count if fusion_denominator is None else fusion_denominator
    fusion = sums[1] / divisor
    return FusionLoss(lm_loss_weight * causal_lm + (1.0 - lm_loss_weight) * fusion, causal_lm, fusion)


def _targets(
    teacher: SparseTeacher, labels: Tensor, rule: _Rule, without_teacher: WithoutTeacher
) -> SparseTeacher:
    """What each position is to learn: the teacher's row under the rule, or its own label."""
    probabilities, leftover = _prepared(teacher, rule)
    valid = labels != IGNORED
    taught = teacher.kept & valid & (teacher.probabilities.sum(-1) > 0)
    gold_ids = torch.full_like(teacher.ids, -1)
    gold_ids[:, 0] = labels.clamp(min=0)
    gold = torch.zeros_like(probabilities)
    gold[:, 0] = 1.0
    return SparseTeacher(
        torch.where(taught[:, None], teacher.ids, gold_ids),
        torch.where(taught[:, None], probabilities, gold),
        torch.where(taught, leftover, 0.0),
        valid if without_teacher == "gold" else taught,
    )


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


def _chunked_sums(
    hidden: Tensor, head: Head, labels: Tensor, targets: SparseTeacher | None, rule: _Rule, chunk: int
) -> Tensor:
    """Sums [2] of the causal LM and the fusion loss over all positions."""

    def sums(hidden: Tensor, labels: Tensor, *target: Tensor) -> Tensor:
        logits = head(hidden).float()
        causal_lm = torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
        if not target:
            return torch.stack([causal_lm, torch.zeros_like(causal_lm)])
        return torch.stack([causal_lm, _fusion_sum(logits, SparseTeacher(*target), rule)])

    total = hidden.new_zeros(2, dtype=torch.float32)
    for start in range(0, len(labels), chunk):
        part = slice(start, start + chunk)
        arguments = (hidden[part], labels[part], *(() if targets is None else (t[part] for t in targets)))
        if torch.is_grad_enabled():
            total = total + checkpoint(sums, *arguments, use_reentrant=False, preserve_rng_state=False)
        else:
            total = total + sums(*arguments)
    return total


def _fusion_sum(logits: Tensor, target: SparseTeacher, rule: _Rule) -> Tensor:
    """Sum over kept rows of the (cross-entropy or KL) loss of logits [n, V] against sparse targets."""
    scaled = logits / rule.temperature
    normaliser = scaled.logsumexp(-1)
    log_q = scaled.gather(-1, target.ids.clamp(min=0)) - normaliser[:, None]
    rows = -(target.probabilities * log_q).sum(-1)
    if rule.leftover == "residual":
        rows = rows - target.leftover * _log_rest(scaled, target.ids, normaliser)
    if rule.loss == "kl":
        rows = rows + torch.xlogy(target.probabilities, target.probabilities).sum(-1)
        rows = rows + torch.xlogy(target.leftover, target.leftover)
    return torch.where(target.kept, rows, 0.0).sum()


def _log_rest(scaled: Tensor, ids: Tensor, normaliser: Tensor) -> Tensor:
    """Log of the probability [n] outside the listed ids, summed over the rest itself rather than as 1 - sum.

    0 where nothing is outside the list: such a bucket can be neither filled nor emptied.
    """
    vocabulary = scaled.shape[-1]
    spare = scaled.new_full((len(scaled), 1), _REMOVED)  # takes the place of entries that are none
    rest = torch.cat([scaled, spare], -1).scatter(-1, ids.where(ids >= 0, vocabulary), _REMOVED).logsumexp(-1)
    empty = rest < 0.5 * _REMOVED
    return torch.where(empty, 0.0, rest - normaliser)
