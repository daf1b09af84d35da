"""LoRA adapters (Hu et al. 2022) through peft: wrap a model, train the adapters, merge them into it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import torch
from torch import nn

from fusion.errors import FusionError, first_line, nearest
from fusion.hf_settings import LORA_SET_HERE, LORA_SYNONYMS


@contextmanager
def with_adapters(model: Any, settings: Mapping[str, Any], seed: int) -> Iterator[Any]:
    """Context with new adapters on the model and all else frozen; afterwards `model` is a plain model again.

    settings: names of peft's LoraConfig (r, lora_alpha, target_modules, ...). New adapters do not change the
    model's output until they are trained. On leaving, they are merged into the weights, or dropped after an
    error. Raises FusionError for names that peft does not know, values that it refuses and missing modules.
    """
    learns = [p.requires_grad for p in model.parameters()]
    parameters = list(model.parameters())
    wrapped = _wrapped(model, settings, seed)
    done = False
    try:
        _refuse_adapted_ties(model)
        yield wrapped
        done = True
    finally:
        wrapped.merge_and_unload() if done else wrapped.unload()
        for parameter, learned in zip(parameters, learns, strict=True):
            parameter.requires_grad_(learned)


def _wrapped(model: Any, settings: Mapping[str, Any], seed: int) -> Any:
    peft = _peft()
    _check_names(settings, {f.name for f in fields(peft.LoraConfig)} - LORA_SET_HERE.keys())
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            wrapped = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **settings))
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
        reason = first_line(error)
        raise FusionError(
            f"no LoRA adapters can be made on {model.config.model_type}: {reason}",
            remedy=_remedy(reason, model),
        ) from error
    # checkpoints are loaded into this model, so peft must not look for its base model by name
    wrapped.peft_config[wrapped.active_adapter].base_model_name_or_path = None
    return wrapped


def _remedy(reason: str, model: nn.Module) -> str:
    """What to do, depending on whether peft's message is about modules or another setting."""
    if "modules" in reason or "module " in reason:
        return f"lora.target_modules takes names of its linear modules: {', '.join(_linear(model))}"
    return "give lora.r a whole number of at least 1; other values as peft's LoraConfig documents them"


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise FusionError(
            "training with LoRA needs the package peft, which is not installed",
            remedy="pip install peft, or train without lora",
        ) from error
    return peft


def _check_names(settings: Mapping[str, Any], known: set[str]) -> None:
    for name in settings:
        if name in LORA_SET_HERE:
            raise FusionError(
                f"lora.{name} is set by the training: {LORA_SET_HERE[name]}", remedy=f"leave {name} out"
            )
        if name not in known:
            meant = nearest(name, sorted(known), LORA_SYNONYMS)
            raise FusionError(
                f"lora.{name} is not a setting of peft's LoraConfig{meant}",
                remedy="usual ones are r, lora_alpha, lora_dropout, target_modules; peft documents the rest",
            )


def _linear(model: nn.Module) -> list[str]:
    """Last part of the names of the model's linear modules, which can have adapters."""
    kinds = ("Linear", "Conv1D")
    return sorted({name.split(".")[-1] for name, m in model.named_modules() if type(m).__name__ in kinds})


def _refuse_adapted_ties(model: Any) -> None:
    """Raise FusionError for an adapter on an embedding or head that shares its weight with the other."""
    tied = model.get_input_embeddings(), model.get_output_embeddings()
    weights = [getattr(getattr(m, "base_layer", m), "weight", None) for m in tied]
    adapted = any(type(m).__module__.startswith("peft.") for m in tied)
    if adapted and (model.config.tie_word_embeddings or weights[0] is weights[1]):
        raise FusionError(
            "the embeddings and the head share one weight: merging an adapter of one would change both",
            remedy="leave lm_head and the embeddings out of lora.target_modules and lora.modules_to_save",
        )
