"""Causal LM and fusion loss summed over positions, chunk by chunk, with gradients computed along with it.

    n   rows of a chunk        z   logits [n, V]            S   the ids that a row's teacher lists
    N   all positions          e   z scaled by 1 / T        q   the teacher's probabilities [n, K] of S
    V   vocabulary             p   softmax of e             r   the teacher's leftover mass [n]
    K   listed entries         a, b   weights of the two losses in the total

Per row, L_clm = -log p(label) and L_fusion = -sum_S q log p - r log p(not S). With Q = sum q and
s_j = p_j / p(not S), the softmax over the tokens outside S,

    dL_fusion/de_j = (Q + r) p_j - q_j      for j in S
                   = (Q + r) p_j - r s_j    otherwise

so for T = 1 both losses need only one softmax, the one over the tokens outside S. p(not S) is summed over
those tokens, not computed as 1 - p(S), and p_j = s_j p(not S) holds whether or not p(not S) underflows.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from fusion.errors import FusionError
from fusion.head_gradients import open_pass
from fusion.lm_head import Head, learned_by

_REMOVED = -1e30  # a logit that adds nothing to any sum but keeps all arithmetic finite


class LossRows(NamedTuple):
    """What each position learns; `listed` ids [N, K] are distinct within a row, and all ids are valid."""

    labels: Tensor  # [N] int64, valid ids
    labelled: Tensor  # [N] bool: whether the label counts
    ids: Tensor  # [N, K] int64
    listed: Tensor  # [N, K] bool: whether the entry counts
    probabilities: Tensor  # [N, K] float32, 0 where not listed
    leftover: Tensor  # [N] float32
    constant: Tensor  # [N] float32, added to the row's fusion loss
    taught: Tensor  # [N] bool: whether the row counts in the fusion part

    def part(self, rows: slice | Tensor) -> "LossRows":
        return LossRows(*(t[rows] for t in self))


class PartWeights(NamedTuple):
    """Weights of the two sums in the total (a and b above), with lambda and the divisors included."""

    causal_lm: Tensor | float
    fusion: Tensor | float


def chunked_sums(
    hidden: Tensor, head: Head, rows: LossRows, weights: PartWeights, temperature: float, chunk: int
) -> tuple[Tensor, Tensor, Tensor]:
    """(total, causal LM sum, fusion sum) of hidden states [N, D], float32 scalars.

    total = a x causal LM sum + b x fusion sum; only it has gradients, and they can be taken once. Raises
    FusionError for ids beyond the logits, for an id listed twice in a row, and for gradients in float16.
    """
    learned = learned_by(head, hidden) if torch.is_grad_enabled() else ()
    wanted = torch.is_grad_enabled() and (hidden.requires_grad or bool(learned))
    sums = hidden.new_zeros(2, dtype=torch.float32)
    with torch.no_grad():
        work = open_pass(head, hidden if wanted else hidden.detach(), learned)
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            logits = work.logits(part)
            if start == 0:
                _check_ids(rows, logits.shape[-1])
            sums += chunk_sums_(logits, rows.part(part), weights, temperature, gradient=wanted)
            if wanted:
                work.push(part, logits)
            del logits  # before the next chunk's are made
        total = weights.causal_lm * sums[0] + weights.fusion * sums[1]
    if wanted:
        gradients = [work.hidden_gradient, *work.learned_gradients()]
        total = _Precomputed.apply(total, gradients, hidden, *learned)  # type: ignore[no-untyped-call]
    return total, sums[0], sums[1]


def _check_ids(rows: LossRows, vocabulary: int) -> None:
    largest = max(int(rows.ids.max()), int(rows.labels.max()))
    if largest >= vocabulary:
        raise FusionError(
            f"token {largest} is to be learned, but the model's logits are {vocabulary} wide",
            remedy="make labels and teacher rows with the tokenizer that belongs to the target model",
        )
    ordered = rows.ids.masked_fill(~rows.listed, -1).sort(-1).values
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise FusionError(
            "a row of the teacher lists the same token twice",
            remedy="list it once, with the sum of its probabilities",
        )


def chunk_sums_(
    logits: Tensor, rows: LossRows, weights: PartWeights, temperature: float, *, gradient: bool
) -> Tensor:
    """Both sums [2] over a chunk's float32 logits [n, V].

    Overwrites the logits: with the total's gradient if `gradient`, else with values of no use.
    """
    if temperature == 1.0:
        return _one_softmax_(logits, rows, weights, gradient)
    scaled = logits / temperature
    fusion = _one_softmax_(scaled, rows, PartWeights(0.0, weights.fusion / temperature), gradient)
    causal = _one_softmax_(logits, label_rows(rows.labels, rows.labelled), weights, gradient)
    if gradient:
        logits.add_(scaled)
    return torch.stack([causal[0], fusion[1]])


def label_rows(labels: Tensor, labelled: Tensor) -> LossRows:
    """LossRows without a teacher: the label is the only entry listed, with probability 0."""
    nothing = torch.zeros(len(labels), device=labels.device)
    listed = torch.ones_like(labels[:, None], dtype=torch.bool)
    none = torch.zeros_like(labelled)
    return LossRows(labels, labelled, labels[:, None], listed, nothing[:, None], nothing, nothing, none)


def _one_softmax_(logits: Tensor, rows: LossRows, weights: PartWeights, gradient: bool) -> Tensor:
    """As `chunk_sums_`, with both losses over the same logits."""
    label_logit = logits.gather(-1, rows.labels[:, None])
    listed = logits.gather(-1, rows.ids).masked_fill_(~rows.listed, _REMOVED)
    rest = _rest_softmax_(logits, rows.ids)
    normaliser = torch.cat([listed, rest], -1).logsumexp(-1, keepdim=True)
    empty = rest < 0.5 * _REMOVED  # no token is outside the list, so there is no leftover to learn
    leftover = rows.leftover[:, None].masked_fill(empty, 0.0)
    causal = (normaliser - label_logit)[:, 0]
    crossed = rows.probabilities * (normaliser - listed)
    crossed.masked_fill_(rows.probabilities == 0, 0.0)  # even where the target's logit is -inf
    fusion = crossed.sum(-1) + (leftover * (normaliser - rest))[:, 0] + rows.constant
    if gradient:
        _gradient_(logits, listed - normaliser, rest - normaliser, leftover, rows, weights)
    return torch.stack(
        [torch.where(rows.labelled, causal, 0.0).sum(), torch.where(rows.taught, fusion, 0.0).sum()]
    )


def _rest_softmax_(logits: Tensor, ids: Tensor) -> Tensor:
    """Log of the sum of exp(z) [n, 1] over tokens outside the list.

    Overwrites the logits with the softmax over those tokens, and 0 for listed ones.
    """
    logits.scatter_(-1, ids, _REMOVED)
    top = logits.amax(-1, keepdim=True)
    torch.softmax(logits, -1, out=logits)
    return top - logits.amax(-1, keepdim=True).log_()  # the largest probability is exp(top) / sum


def _gradient_(
    rest_softmax: Tensor,
    log_listed: Tensor,
    log_rest: Tensor,
    leftover: Tensor,
    rows: LossRows,
    weights: PartWeights,
) -> None:
    """Overwrite the softmax outside the list [n, V] with a dL_clm/dz + b dL_fusion/dz."""
    a = (weights.causal_lm * rows.labelled)[:, None]
    b = (weights.fusion * rows.taught)[:, None]
    mass = a + b * (rows.probabilities.sum(-1, keepdim=True) + leftover)
    rest_softmax.mul_(mass * log_rest.exp() - b * leftover)
    rest_softmax.scatter_add_(-1, rows.ids, mass * log_listed.exp() - b * rows.probabilities)
    rest_softmax.scatter_add_(-1, rows.labels[:, None], -a)


class _Precomputed(torch.autograd.Function):
    """A value whose gradients are already computed; `backward` scales them in place and can run only once."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: list[Tensor | None], *inputs: Tensor) -> Tensor:  # noqa: ARG004
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise RuntimeError(
                "the fusion loss can be differentiated only once: compute it again, or sum losses first"
            )
        unscaled = factor.device.type == "cpu" and factor.item() == 1.0
        return None, None, *(g if g is None or unscaled else g.mul_(factor) for g in gradients)
