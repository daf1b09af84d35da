"""Names from the paper, its code and peft, and what a suite calls them: for "did you mean" hints."""

from collections.abc import Collection

from fusion.errors import nearest
from fusion.hf_settings import LORA_SYNONYMS

SYNONYMS = {  # lower case -> the suite's name, suggested only where that name is valid
    # keys of fusion
    "lambda": "lm_loss_weight",
    "lamda": "lm_loss_weight",
    "lambda_end": "lm_loss_weight_end",
    "preset": "paper",
    "k": "top_k",
    "fusion_function": "function",
    "max_length": "block_size",
    "threshold": "vocabulary_threshold",
    # values of fusion
    "exact": "em",
    "exact_match": "em",
    "min_edit_distance": "mined",
    "minimum_edit_distance": "mined",
    "edit_distance": "mined",
    "min_ce": "mince",
    "avg_ce": "avgce",
    "sequence": "document",
    "block": "window",
    "ce": "cross_entropy",
    "perplexity": "cross_entropy",
    "bpb": "bits_per_byte",
    "cross_entropy": "ce",
    "kl_div": "kl",
    "fp32": "float32",
    "bf16": "bfloat16",
    "fp16": "float16",
    "half": "float16",
    **LORA_SYNONYMS,
}


def meant(name: str, valid: Collection[object]) -> str:
    """As `nearest`, with the synonyms of a suite."""
    return nearest(name, valid, SYNONYMS)
