"""The paper's method under one name: settings for whoever must reproduce or compare (Wan et al. 2024).

`fusellm` is the method as the paper describes it, with the released code's defects put right.
`fusellm-release` computes what the released code computes: it compares tokens by their tokenizer-internal
spelling, takes any nearest token however far, keeps the first of several source tokens that become one target
token, and where no teacher is aligned teaches the token just read instead of the next. It is for comparison,
not for use.

What a preset cannot reproduce: the released code packs documents into blocks before it reads them, stores
rewards in half precision, and maps vocabularies in an order that changes from call to call.
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
            "granularity": "window",  # the released code scores whole blocks, whatever documents they hold
            "without_teacher": "current",
        },
    }
)
