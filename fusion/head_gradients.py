"""Forward and backward pass of the output head, one chunk of rows at a time, with accumulated gradients.

    n   rows of a chunk       D   width of the hidden states       V   vocabulary

The loss computes its own gradient with respect to the logits, so only the head is left to differentiate. A
plain projection is differentiated here by hand, accumulating its weight's gradient in place; any other head
goes through autograd.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from fusion.errors import FusionError
from fusion.hf_settings import FLOAT16
from fusion.lm_head import Head, Projection, apply_softcap

_BLOCK = 8192  # tokens of a low-precision weight's gradient that are converted to float32 at a time


class HeadPass(Protocol):
    """Applies the head to one chunk after the other: call `logits`, then `push` for the same rows."""

    hidden_gradient: Tensor | None  # [N, D]; None where the hidden states need none

    def logits(self, rows: slice) -> Tensor:
        """Logits [n, V] in float32, which the caller may overwrite."""

    def push(self, rows: slice, gradient: Tensor) -> None:
        """Backpropagate d loss / d logits [n, V] to the hidden states and the head's learned tensors."""

    def learned_gradients(self) -> list[Tensor]:
        """The accumulated gradient of each learned tensor, in that tensor's dtype."""


def open_pass(head: Head, hidden: Tensor, learned: Sequence[Tensor]) -> HeadPass:
    """A pass over hidden states [N, D] that suits `head`; `learned` is what `learned_by` returns.

    Raises FusionError for training in float16.
    """
    if (hidden.requires_grad or learned) and torch.float16 in (hidden.dtype, _autocast_dtype(hidden)):
        raise FusionError(
            f"training in float16: {FLOAT16}", remedy="train in bfloat16 (bf16: true) or float32"
        )
    if isinstance(head, Projection):
        return _ProjectionPass(head, hidden, bool(learned))
    return _AnyPass(head, hidden, learned)


class _ProjectionPass:
    """A plain projection, without autograd.

    Holds [n, V] once (twice in low precision or with a soft cap) and [V, D] only as accumulated gradient.
    """

    def __init__(self, head: Projection, hidden: Tensor, learns: bool) -> None:
        dtype = _autocast_dtype(hidden) or head.weight.dtype
        self.head, self.hidden, self.dtype = head, hidden, dtype
        self.weight = head.weight.detach().to(dtype)
        self.hidden_gradient = torch.zeros_like(hidden) if hidden.requires_grad else None
        self.sum = torch.zeros_like(head.weight, dtype=torch.float32) if learns else None
        self.capped: Tensor | None = None

    def logits(self, rows: slice) -> Tensor:
        with torch.autocast(self.hidden.device.type, enabled=False):
            projected = self.hidden[rows].to(self.dtype) @ self.weight.T
            logits = apply_softcap(projected, self.head.scale, self.head.softcap).float()
        self.capped = None if self.head.softcap is None else logits.clone()
        return logits

    def push(self, rows: slice, gradient: Tensor) -> None:
        if self.capped is not None:  # d (c tanh(x / c)) / dx = 1 - tanh^2
            gradient.mul_(self.capped.div_(self.head.softcap or 1.0).square_().neg_().add_(1.0))
        if self.head.scale != 1.0:
            gradient.mul_(self.head.scale)
        with torch.autocast(gradient.device.type, enabled=False):
            gradient = gradient.to(self.dtype)
            if self.hidden_gradient is not None:
                self.hidden_gradient[rows] = (gradient @ self.weight).to(self.hidden.dtype)
            if self.sum is not None:
                _add_outer(self.sum, gradient, self.hidden[rows].to(self.dtype))

    def learned_gradients(self) -> list[Tensor]:
        return [] if self.sum is None else [self.sum.to(self.head.weight.dtype)]


class _AnyPass:
    """Any other head, through autograd, one chunk at a time."""

    def __init__(self, head: Head, hidden: Tensor, learned: Sequence[Tensor]) -> None:
        self.head, self.hidden, self.learned = head, hidden, learned
        self.hidden_gradient = torch.zeros_like(hidden) if hidden.requires_grad else None
        self.sums = [torch.zeros_like(t, dtype=torch.float32) for t in learned]
        self.graph: tuple[Tensor, Tensor] | None = None

    def logits(self, rows: slice) -> Tensor:
        wanted = self.hidden_gradient is not None or bool(self.learned)
        with torch.set_grad_enabled(wanted):
            start = self.hidden[rows].detach().requires_grad_(self.hidden_gradient is not None)
            end = self.head(start)
        self.graph = (start, end) if end.requires_grad else None
        return end.detach().to(torch.float32, copy=True)

    def push(self, rows: slice, gradient: Tensor) -> None:
        if self.graph is None:
            return
        start, end = self.graph
        self.graph = None
        inputs = [*([start] if start.requires_grad else []), *self.learned]
        found = list(torch.autograd.grad(end, inputs, gradient.to(end.dtype), materialize_grads=True))
        if self.hidden_gradient is not None:
            self.hidden_gradient[rows] = found.pop(0)
        for total, part in zip(self.sums, found, strict=True):
            total.add_(part)

    def learned_gradients(self) -> list[Tensor]:
        return [total.to(t.dtype) for total, t in zip(self.sums, self.learned, strict=True)]


def _autocast_dtype(tensor: Tensor) -> torch.dtype | None:
    device = tensor.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None


def _add_outer(total: Tensor, gradient: Tensor, hidden: Tensor) -> None:
    """Compute total [V, D] += gradient [n, V] transposed @ hidden [n, D], summed in total's float32."""
    if gradient.dtype == total.dtype:
        total.addmm_(gradient.T, hidden)
        return
    for start in range(0, len(total), _BLOCK):
        block = slice(start, start + _BLOCK)
        total[block] += gradient[:, block].T @ hidden
