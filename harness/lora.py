"""The suite's `lora` section against peft's `LoraConfig`: names and values."""

from dataclasses import fields
from functools import cache
from typing import Any

from harness.errors import nearest

SET_BY_HARNESS = {
    "task_type": "it is a causal language model",
    "peft_type": "it is LoRA",
    "inference_mode": "the adapters are trained",
    "base_model_name_or_path": "it is the target",
    "auto_mapping": "it is the target",
    "revision": "it is the target",
}


def lora_mistakes(lora: dict[str, Any]) -> list[str]:
    """What is wrong with the section, one sentence each. Imports peft."""
    mistakes = []
    for name in lora:
        if name in SET_BY_HARNESS:
            mistakes.append(f"lora.{name}: set by the harness; {SET_BY_HARNESS[name]}")
        elif name not in _names():
            mistakes.append(f"lora.{name}: not a LoraConfig name{nearest(str(name), _names())}")
    return mistakes or _value_mistakes(lora)


def _value_mistakes(lora: dict[str, Any]) -> list[str]:
    from peft import LoraConfig

    rank = lora.get("r", 8)
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        return [f"lora.r: must be a whole number of at least 1, not {rank!r}"]
    try:
        LoraConfig(task_type="CAUSAL_LM", **lora)
    except (TypeError, ValueError) as error:
        return [f"lora: {error}"]
    return []


@cache
def _names() -> tuple[str, ...]:
    from peft import LoraConfig

    return tuple(f.name for f in fields(LoraConfig))
