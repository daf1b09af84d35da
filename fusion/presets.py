"""Presets: the paper's settings and those of its released code, by name (Wan et al. 2024).

`fusellm` is the method as the paper describes it, without the released code's defects. `fusellm-release`
computes what the released code computes: tokens are compared by their tokenizer-internal spelling; the
nearest token is accepted at any distance; of several source tokens that map to one target token the first is
kept; and a position without an aligned source learns the token just read instead of the next. It is for
comparison only.

A preset cannot reproduce everything: the released code packs documents into blocks before reading them,
stores rewards in half precision, and maps vocabularies in an order that changes from call to call.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_FUSELLM: dict[str, Any] = {
    "alignment": "mined",
    "vocabulary": "mined",
    "compare": "bytes",
    "next_token": "vocabulary",
    "duplicates": "add",
    "function": "mince",
    "avgce_weights": "softmax",
    "granularity": "document",  # the paper's "sequence"
    "quality": "cross_entropy",
    "include_target": True,
    "lm_loss_weight": 0.9,
    "lm_loss_weight_end": None,
    "top_k": 10,
    "temperature": 1.0,
    "loss": "ce",
    "leftover": "renormalise",
    "without_teacher": "gold",
}

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "fusellm": _FUSELLM,
        "fusellm-release": _FUSELLM
        | {
            "compare": "spelling",
            "duplicates": "first",
            "avgce_weights": "release",
            "granularity": "window",  # the released code scores blocks, which may span documents
            "without_teacher": "current",
        },
    }
)
