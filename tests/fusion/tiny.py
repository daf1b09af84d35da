"""Tiny randomly initialised models of several architectures, for tests."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

VOCABULARY = 96
_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_SHAPES: dict[str, dict[str, Any]] = {
    "llama": {**_SIZES, "num_key_value_heads": 2},
    "gpt_neox": _SIZES,
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 2, "max_seq_len": 64},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2},
    "gemma2": {**_SIZES, "num_key_value_heads": 2, "head_dim": 16, "final_logit_softcapping": 3.0},
}
ARCHITECTURES = tuple(_SHAPES)


def tiny_model(architecture: str, seed: int = 0) -> Any:
    """A causal LM of 96 tokens whose logits are spread out (the default initialisation is almost uniform)."""
    torch.manual_seed(seed)
    config = AutoConfig.for_model(architecture, vocab_size=VOCABULARY, **_SHAPES[architecture])
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(12)
    return model.eval()
