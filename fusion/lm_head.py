"""The output head of a language model (hidden states to logits), and its learned tensors.

D   width of the hidden states       V   vocabulary
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Head = Callable[[Tensor], Tensor]
"""Hidden states [..., D] -> logits [..., V], each row on its own."""


@dataclass(frozen=True)
class Projection:
    """The usual head: hidden @ weight.T, optionally scaled (Cohere) or soft-capped (Gemma 2).

    Any callable can be a head; for this one gradients are computed without autograd.
    """

    weight: Tensor  # [V, D]
    scale: float = 1.0
    softcap: float | None = None

    def __call__(self, hidden: Tensor) -> Tensor:
        return apply_softcap(torch.nn.functional.linear(hidden, self.weight), self.scale, self.softcap)


def apply_softcap(logits: Tensor, scale: float, softcap: float | None) -> Tensor:
    """Logits from projected hidden states: softcap * tanh(scale * logits / softcap)."""
    if scale != 1.0:
        logits = logits * scale
    return logits if softcap is None else softcap * torch.tanh(logits / softcap)


def learned_by(head: Head, hidden: Tensor) -> tuple[Tensor, ...]:
    """The leaf tensors of `head` that require gradients: weight, bias, adapters.

    Found by walking the autograd graph of a call on no rows, so that any callable can be a head.
    """
    if isinstance(head, Projection):
        return (head.weight,) if head.weight.requires_grad else ()
    with torch.enable_grad():
        start = head(hidden[:0].detach()).grad_fn
    seen, waiting, leaves = {start}, [start] if start is not None else [], []
    while waiting:
        node = waiting.pop()
        if hasattr(node, "variable"):
            leaves.append(node.variable)
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)
    return tuple(leaves)
