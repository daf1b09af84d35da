"""The suite's `lora` section against peft's `LoraConfig`: names and values."""

import math
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from typing import Any

from harness.synonyms import meant

REASONS = {  # why a name is not the suite's to set, where there is more to say than that it is the target's
    "task_type": "it is a causal language model",
    "peft_type": "it is LoRA",
    "inference_mode": "the adapters are trained",
}
BIAS = ("none", "all", "lora_only")


def lora_mistakes(lora: dict[str, Any]) -> list[str]:
    """What is wrong with the section, one sentence each. Imports peft."""
    mistakes = []
    for name in lora:
        if name in _set_by_training():
            mistakes.append(f"lora.{name}: set by the harness; {REASONS.get(name, 'it is the target')}")
        elif name not in _names():
            mistakes.append(f"lora.{name}: not a LoraConfig name{meant(str(name), _names())}")
    return mistakes or list(_value_mistakes(lora))


def _value_mistakes(lora: dict[str, Any]) -> Iterator[str]:
    """Also what peft takes and stumbles over only when the training starts."""
    from peft import LoraConfig

    rank, alpha, dropout = lora.get("r", 8), lora.get("lora_alpha", 8), lora.get("lora_dropout", 0.0)
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        yield f"lora.r: must be a whole number of at least 1, not {rank!r}"
    if not _is_number(alpha) or alpha <= 0:
        yield f"lora.lora_alpha: must be a number above 0, not {alpha!r}"
    if not _is_number(dropout) or not 0 <= dropout < 1:
        yield f"lora.lora_dropout: must be a number from 0 to below 1, not {dropout!r}"
    bias = lora.get("bias", "none")
    if bias not in BIAS:
        yield f"lora.bias: {bias!r} is not one of {', '.join(BIAS)}{meant(str(bias), BIAS)}"
    try:
        LoraConfig(task_type="CAUSAL_LM", **lora)
    except (TypeError, ValueError) as error:
        yield f"lora: {error}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@cache
def _set_by_training() -> frozenset[str]:
    """What `fusion.lora` sets itself; and the revision of a base model, which nobody looks for by name."""
    from fusion.lora import SET_HERE

    return frozenset({*SET_HERE, "revision"})


@cache
def _names() -> tuple[str, ...]:
    from peft import LoraConfig

    return tuple(f.name for f in fields(LoraConfig))
