"""A causal language model in two halves: hidden states, and the head applied to as many of them as fit.

Holding logits for every position of a batch costs positions x vocabulary; the head on its own can be applied
to a chunk of positions at a time (extraction) or inside a chunked loss (training).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fusion.errors import FusionError


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
        logits: Tensor = head(hidden) * self.scale if self.scale != 1.0 else head(hidden)
        if self.softcap is not None:
            logits = self.softcap * torch.tanh(logits / self.softcap)
        return logits


def split_model(model: Any) -> Decoder:
    """The model's two halves, proven equal to its own forward on a few tokens.

    Raises FusionError where they differ: an architecture whose head does more than this module knows.
    """
    config = model.config
    if model.get_output_embeddings() is None:
        raise FusionError(
            f"{config.model_type} has no output embeddings",
            remedy="use a causal language model as source or target",
        )
    decoder = Decoder(
        model,
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
    model.train(was_training)
    if whole.shape != halves.shape or not torch.allclose(whole, halves, rtol=1e-2, atol=1e-2, equal_nan=True):
        raise FusionError(
            f"the head of {model.config.model_type} is not a plain projection of the last hidden state",
            remedy="add what it does (scale, softcap, ...) to fusion/decoder.py, or use another model",
        )
