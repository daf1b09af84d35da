"""Tiny random models of every architecture on the lists, and what plain reading of them gives."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import transformers as hf
from numpy.typing import NDArray

VOCABULARY = 97
WINDOW = 12  # tokens, of architectures with a sliding window: shorter than what the tests read
_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,  # wide, so that a wrong mask changes much
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_GROUPED = {**_SIZES, "num_key_value_heads": 2, "intermediate_size": 64}
_GEMMA = {**_GROUPED, "head_dim": 8, "sliding_window": WINDOW, "num_hidden_layers": 4}

CONFIGS: dict[str, Callable[[], Any]] = {
    "llama": lambda: hf.LlamaConfig(**_GROUPED),
    "qwen2": lambda: hf.Qwen2Config(**_GROUPED),
    "qwen2 with windows": lambda: hf.Qwen2Config(
        **_GROUPED, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1
    ),
    "qwen3": lambda: hf.Qwen3Config(**_GROUPED, head_dim=8),
    "gemma2": lambda: hf.Gemma2Config(**_GEMMA, query_pre_attn_scalar=8, attn_logit_softcapping=5.0),
    "gemma3_text": lambda: hf.Gemma3TextConfig(
        **_GEMMA,
        query_pre_attn_scalar=8,
        layer_types=["sliding_attention", "full_attention"] * 2,
    ),
    "mistral": lambda: hf.MistralConfig(**_GROUPED, sliding_window=WINDOW),
    "gpt2": lambda: hf.GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=32,
        n_layer=3,
        n_head=4,
        n_positions=256,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
    ),
    "gpt_neox": lambda: hf.GPTNeoXConfig(**_SIZES, intermediate_size=64, rotary_pct=0.25),
    "opt": lambda: hf.OPTConfig(**{**_SIZES, "init_std": 0.3}, ffn_dim=64, word_embed_proj_dim=32),
    "phi": lambda: hf.PhiConfig(**_GROUPED),
    "phi3": lambda: hf.Phi3Config(**_GROUPED, sliding_window=WINDOW),
    "olmo2": lambda: hf.Olmo2Config(**_GROUPED),
    "smollm3": lambda: hf.SmolLM3Config(**_GROUPED),
    "starcoder2": lambda: hf.Starcoder2Config(**_GROUPED, sliding_window=WINDOW),
    "mpt": lambda: hf.MptConfig(
        vocab_size=VOCABULARY, d_model=32, n_heads=4, n_layers=3, max_seq_len=256, initializer_range=0.3
    ),
    "bloom": lambda: hf.BloomConfig(
        vocab_size=VOCABULARY, hidden_size=32, n_head=4, n_layer=3, initializer_range=0.3
    ),
    "mamba": lambda: hf.MambaConfig(
        vocab_size=VOCABULARY, hidden_size=32, state_size=4, num_hidden_layers=2, initializer_range=0.3
    ),
}

Ids = NDArray[np.int64]


def model_of(architecture: str, dtype: torch.dtype = torch.float32) -> Any:
    """A random model, always the same."""
    torch.manual_seed(7)
    return hf.AutoModelForCausalLM.from_config(CONFIGS[architecture](), dtype=dtype).eval()


def tree_of_sequences(rng: np.random.Generator) -> tuple[list[Ids], list[int]]:
    """Sequences with a long common prefix, documents in it, answers of them, and how long each answer is.

    An answer may be another one's beginning, and two may be equal.
    """
    trunk = rng.integers(3, VOCABULARY, 70)
    sequences, answers = [], []
    for _ in range(4):
        document = np.concatenate([trunk, rng.integers(3, VOCABULARY, rng.integers(1, 9))])
        answer = rng.integers(3, VOCABULARY, 6)
        for own in (answer, answer[:2], answer[:2], rng.integers(3, VOCABULARY, 4)):
            sequences.append(np.concatenate([document, own]))
            answers.append(len(own))
    sequences.append(rng.integers(3, VOCABULARY, 5))  # shares nothing
    answers.append(2)
    return sequences, answers


@torch.inference_mode()
def plain_scores(model: Any, sequences: Sequence[Ids], answers: Sequence[int]) -> list[tuple[float, bool]]:
    """One sequence after the other through the model's own forward."""
    scores = []
    for sequence, length in zip(sequences, answers, strict=True):
        logits = model(torch.from_numpy(sequence[:-1])[None], use_cache=False).logits[0, -length:].double()
        wanted = torch.from_numpy(sequence[-length:])
        logs = torch.log_softmax(logits, -1)[torch.arange(length), wanted]
        scores.append((float(logs.sum()), bool((logits.argmax(-1) == wanted).all())))
    return scores


@torch.inference_mode()
def plain_greedy(model: Any, prompt: Ids, most: int) -> list[int]:
    """One token after the other, each from a forward over all before it."""
    text = torch.from_numpy(prompt)[None]
    for _ in range(most):
        likeliest = model(text, use_cache=False).logits[0, -1].argmax()
        text = torch.cat([text, likeliest[None, None]], dim=1)
    return list(text[0, len(prompt) :].tolist())
