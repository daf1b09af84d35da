"""A causal language model split into its body (hidden states) and its output head.

Logits of all positions of a batch take positions x vocabulary of memory; a separate head can be applied to a
chunk of positions at a time, in extraction and in the chunked loss of training.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fusion.errors import FusionError
from fusion.lm_head import Head, Projection, apply_softcap


@dataclass(frozen=True)
class Decoder:
    """`logits(hidden(...))` equals the model's own forward; `split_model` checks this."""

    model: Any  # a transformers PreTrainedModel
    softcap: float | None
    scale: float

    def hidden(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Hidden states [B, L, D], the head's input, of token ids and attention mask [B, L]."""
        output = self.model.base_model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
        states: Tensor = output.last_hidden_state
        return states

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits [..., V] of hidden states [..., D]."""
        head: nn.Module = self.model.get_output_embeddings()
        return apply_softcap(head(hidden), self.scale, self.softcap)

    @property
    def head(self) -> Head:
        """The head as a `Projection` if the model's is a plain linear layer, else `logits`."""
        module = self.model.get_output_embeddings()
        hooked = module._forward_hooks or module._forward_pre_hooks
        if type(module) is nn.Linear and module.bias is None and not hooked:
            return Projection(module.weight, self.scale, self.softcap)
        return self.logits


def split_model(model: Any) -> Decoder:
    """Split a model into body and head, and check on a few tokens that together they equal its forward.

    `model` may be wrapped by peft. Raises FusionError if they differ, which means that the architecture's
    head does something this module does not know.
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
