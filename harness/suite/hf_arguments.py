"""Checks of a suite's `training` and `lora` sections: names, types and values that Hugging Face accepts."""

import math
from collections.abc import Iterator
from dataclasses import fields
from enum import Enum
from functools import cache
from typing import Any, Literal, get_args, get_origin

from fusion.hf_settings import LORA_SET_HERE, REFUSED_ARGUMENTS
from harness.core.exceptions import nearest
from harness.suite.synonyms import meant

SET_BY_HARNESS = {
    "output_dir": "checkpoints are kept in the store",
    "run_name": "the run's name is made from the suite",
    "report_to": "use the suite's 'tracking'",
    "seed": "use the suite's 'seed': control and fused must see the same batches",
    "data_seed": "use the suite's 'seed': control and fused must see the same batches",
    "remove_unused_columns": "it would remove the fused rows",
    "label_names": "the harness computes the loss",
    "label_smoothing_factor": "the harness computes the loss",
    "resume_from_checkpoint": "the harness resumes by itself",
    "do_train": "the harness decides what runs",
    "do_eval": "use corpus.evaluation_fraction",
    "do_predict": "the harness decides what runs",
    "push_to_hub": "results stay local",
    "hub_token": "results stay local, and run.json would show it; set HF_TOKEN to fetch with a token",
    "push_to_hub_token": "results stay local, and run.json would show it",
    "load_best_model_at_end": "control and fused must be compared after the same steps",
    "include_num_input_tokens_seen": "the harness counts tokens itself",
}

AT_LEAST_ONE = ("per_device_train_batch_size", "gradient_accumulation_steps")
ABOVE_ZERO = ("save_steps", "logging_steps")
RENAMED = {
    "warmup_ratio": "warmup_steps (a value below 1 is a ratio)",
    "evaluation_strategy": "eval_strategy",
    "no_cuda": "use_cpu",
}


def check_training(training: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The values with the types that YAML lost, and the mistakes. Imports transformers if there is a key."""
    converted, mistakes = dict(training), []
    for name, value in training.items():
        if name in SET_BY_HARNESS:
            mistakes.append(f"training.{name}: set by the harness; {SET_BY_HARNESS[name]}")
        elif name not in _annotations():
            hint = f"; it is now {RENAMED[name]}" if name in RENAMED else nearest(str(name), _annotations())
            mistakes.append(f"training.{name}: not a TrainingArguments name{hint}")
        else:
            converted[name], problem = _convert(value, _options(_annotations()[name]))
            mistakes += [f"training.{name}: {problem}"] if problem else []
    return converted, mistakes + [f"training.{problem}" for problem in _out_of_range(converted)]


def _out_of_range(training: dict[str, Any]) -> Iterator[str]:
    """Values that the Trainer accepts but fails on, which would be after the fusion stages."""
    yield from (f"{name}: {reason}" for name, reason in REFUSED_ARGUMENTS.items() if training.get(name))
    numbers = {k: v for k, v in training.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    if numbers.get("max_steps", -1) <= 0 and numbers.get("num_train_epochs", 1) <= 0:
        yield f"num_train_epochs: must be above 0 unless max_steps is, not {numbers['num_train_epochs']}"
    for name in AT_LEAST_ONE:
        if numbers.get(name, 1) < 1:
            yield f"{name}: must be at least 1, not {numbers[name]}"
    for name in ABOVE_ZERO:
        if numbers.get(name, 1) <= 0:
            yield f"{name}: must be above 0, not {numbers[name]}"


@cache
def _annotations() -> dict[str, Any]:
    from transformers import TrainingArguments

    return {field.name: field.type for field in fields(TrainingArguments)}


def _options(annotation: Any) -> list[Any]:
    """The members of a union, flattened: `float | None` -> [float, NoneType]."""
    if get_origin(annotation) in (list, dict, Literal):
        return [annotation]
    members = get_args(annotation)
    return [o for m in members for o in _options(m)] if members else [annotation]


def _convert(value: Any, options: list[Any]) -> tuple[Any, str]:
    """The value and what is wrong with it. YAML reads 1e-5 as text: converted where a number is expected."""
    enums = [o for o in options if isinstance(o, type) and issubclass(o, Enum)]
    if enums and isinstance(value, str):
        return value, _enum_problem(value, enums[0])
    if any(_fits(value, option) for option in options):
        return value, ""
    number = _number(value)
    for option in (int, float):
        if option in options and number is not None and option(number) == number:
            return option(number), ""
    wanted = " or ".join(_name(o) for o in options if o is not type(None))
    return value, f"expected {wanted}, not {value!r}"


def _fits(value: Any, option: Any) -> bool:
    if get_origin(option) is Literal:
        return value in get_args(option)
    plain = get_origin(option) or option
    if not isinstance(plain, type):
        return True
    if plain is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, plain) and not (plain is int and isinstance(value, bool))


def _number(value: Any) -> float | None:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _enum_problem(value: str, options: type[Enum]) -> str:
    valid = [str(member.value) for member in options]
    if value in valid:
        return ""
    return f"{value!r} is not one of {', '.join(valid)}{nearest(value, valid)}"


def _name(option: Any) -> str:
    return getattr(option, "__name__", str(option))


BIAS = ("none", "all", "lora_only")


def lora_mistakes(lora: dict[str, Any]) -> list[str]:
    """The mistakes in a `lora` section, one sentence each. Imports peft."""
    mistakes = []
    for name in lora:
        if name in LORA_SET_HERE:
            mistakes.append(f"lora.{name}: set by the harness; {LORA_SET_HERE[name]}")
        elif name not in _names():
            mistakes.append(f"lora.{name}: not a LoraConfig name{meant(str(name), _names())}")
    return mistakes or list(_value_mistakes(lora))


def _value_mistakes(lora: dict[str, Any]) -> Iterator[str]:
    """Wrong values, including those that peft accepts but fails on when the training starts."""
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
def _names() -> tuple[str, ...]:
    from peft import LoraConfig

    return tuple(f.name for f in fields(LoraConfig))
