"""A causal language model in two halves: hidden states, and the head applied to as many of them as fit.

Holding logits for every position of a batch costs positions x vocabulary; the head on its own can be applied
to a chunk of positions at a time (extraction) or inside a chunked loss (training).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fusion.errors import FusionError
from fusion.lm_head import Head, Projection, apply_softcap


@dataclass(frozen=True)
class Decoder:
    """`hidden` then `logits` equal the model's own forward; `split_model` checks it."""

    model: Any  # a transformers PreTrainedModel
    softcap: float | None
    scale: float

    def hidden(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """[B, L] token ids and mask -> [B, L, D] hidden states that the head reads."""
        output = self.model.base_model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
        states: Tensor = output.last_hidden_state
        return states

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., D] hidden states -> [..., V] logits."""
        head: nn.Module = self.model.get_output_embeddings()
        return apply_softcap(head(hidden), self.scale, self.softcap)

    @property
    def head(self) -> Head:
        """The head for a loss: a `Projection` where the model's is no more than that, else `logits`."""
        module = self.model.get_output_embeddings()
        hooked = module._forward_hooks or module._forward_pre_hooks
        if type(module) is nn.Linear and module.bias is None and not hooked:
            return Projection(module.weight, self.scale, self.softcap)
        return self.logits


def split_model(model: Any) -> Decoder:
    """The model's two halves, proven equal to its own forward on a few tokens.

    `model` may be wrapped by peft. Raises FusionError where they differ: an architecture whose head does more
    than this module knows.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = inner.config
    if inner.get_output_embeddings() is None:
        raise FusionError(
            f"{config.model_type} has no output embeddings",
            remedy="use a causal language model as source or target",
        )
    decoder = Decoder(
        inner,
        softcap=getattr(config, "final_logit_softcapping", None),
        scale=float(getattr(config, "logit_scale", None) or 1.0),
    )
    _check(decoder)
    return decoder


@torch.no_grad()
def _check(decoder: Decoder) -> None:
    model = decoder.model
    was_training = model.training
    model.eval()
    device = model.get_input_embeddings().weight.device
    ids = torch.arange(5, 13, device=device)[None] % model.config.vocab_size
    mask = torch.ones_like(ids)
    whole = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float()
    halves = decoder.logits(decoder.hidden(ids, mask)).float()
    fast = decoder.head(decoder.hidden(ids, mask)).float()
    model.train(was_training)
    if whole.shape != halves.shape or not (_close(whole, halves) and _close(whole, fast)):
        raise FusionError(
            f"the head of {model.config.model_type} is not a plain projection of the last hidden state",
            remedy="add what it does (scale, softcap, ...) to fusion/decoder.py, or use another model",
        )


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-2, atol=1e-2, equal_nan=True)
