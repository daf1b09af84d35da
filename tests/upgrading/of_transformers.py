"""What is assumed of transformers, peft and accelerate."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.upgrading.assumption import assumes

_LAYERS = 2


def _model(architecture: str = "llama", **others: Any) -> Any:
    """A random model of two layers and 48 tokens."""
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {
        "vocab_size": 48,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
    }
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture, **{**sizes, **others})).eval()


class _Seen:
    """A layout that keeps what each layer hands over, and attends to nothing."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def attend(self, call: Any) -> Any:
        self.calls.append(call)
        return call.query


def _read(model: Any, cache: Any) -> list[Any]:
    """What the layers handed over in a pass over three tokens."""
    import torch

    from harness.scoring.shared_prefix.attention import laid_out

    layout = _Seen()
    with torch.inference_mode(), laid_out(model, layout):
        model.base_model(
            input_ids=torch.arange(3)[None],
            position_ids=torch.arange(3)[None],
            attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool),
            past_key_values=cache,
            use_cache=True,
        )
    return layout.calls


@assumes(
    "transformers",
    "config._attn_implementation",
    used_in="harness.scoring.shared_prefix.attention",
    assumed="names the attention function in `AttentionInterface` that every layer calls in the next pass; "
    "may be set between passes",
    why="`set_attn_implementation` walks over all modules, twice a pass, and no public name reads the one in "
    "force",
    breaks="models are read by the plain strategy (slower): each proves itself before it is read otherwise",
)
def attention_of_the_next_pass() -> None:
    from transformers import DynamicCache

    model = _model()
    before = model.config._attn_implementation
    assert isinstance(before, str), before
    calls = _read(model, DynamicCache())
    assert [call.layer for call in calls] == list(range(_LAYERS)), f"{len(calls)} calls"
    assert model.config._attn_implementation == before


@assumes(
    "transformers",
    "arguments of an attention function",
    used_in="harness.scoring.shared_prefix.attention",
    spelled="layer_idx scaling sliding_window softcap",
    assumed="(module with `layer_idx`, query, key, value, mask), and by name `scaling`, `sliding_window` and "
    "`softcap`; query [1, heads, tokens, width], the result [1, tokens, heads, width] and weights or None",
    why="which of them a layer passes is up to its architecture",
    breaks="models are read by the plain strategy, or a window or soft cap is left out (the proof finds it)",
)
def arguments_of_an_attention_function() -> None:
    from transformers import DynamicCache

    kinds = ["sliding_attention", "full_attention"]
    model = _model("gemma2", attn_logit_softcapping=5.0, sliding_window=2, layer_types=kinds)
    calls = _read(model, DynamicCache())
    assert [(call.window, call.softcap) for call in calls] == [(2, 5.0), (None, 5.0)]
    assert tuple(calls[0].query.shape) == (1, 2, 3, 8)
    assert tuple(calls[0].key.shape) == (1, 1, 3, 8)
    assert calls[0].scale == model.model.layers[0].self_attn.scaling


@assumes(
    "transformers",
    "attention_mask of four dimensions",
    used_in="harness.scoring.shared_prefix.reader",
    spelled="attention_mask",
    assumed="handed to the attention function as it is, whatever its sizes",
    why="for a mask of two dimensions a model builds [tokens, tokens] itself",
    breaks="models are read by the plain strategy",
)
def masks_of_four_dimensions() -> None:
    import torch
    from transformers import AttentionInterface, DynamicCache

    from harness.core.environment import replaced

    seen = []

    def attend(_module: Any, query: Any, _key: Any, _value: Any, attention_mask: Any, **_: Any) -> Any:
        seen.append(attention_mask)
        return query.transpose(1, 2).contiguous(), None

    AttentionInterface.register("fusegauge_upgrading", attend)
    mask = torch.ones(1, 1, 1, 1, dtype=torch.bool)
    for architecture in ("llama", "gemma2"):
        model = _model(architecture)
        with torch.inference_mode(), replaced(model.config, "_attn_implementation", "fusegauge_upgrading"):
            model.base_model(
                input_ids=torch.arange(3)[None], attention_mask=mask, past_key_values=DynamicCache()
            )
        assert all(given is mask for given in seen), architecture
    assert len(seen) == 2 * _LAYERS


@assumes(
    "transformers",
    "Cache.update",
    used_in="harness.scoring.shared_prefix.kv_cache",
    spelled="update Cache",
    assumed="all that a model with a mask of four dimensions and given positions calls on its cache: "
    "`update(keys, values, layer)` gives what the attention function gets; `Cache(layers=[])` is allowed",
    why="caches of the library hold rows of one length, each with all of its text",
    breaks="greedy generation: models are read by the plain strategy",
)
def what_a_model_asks_of_its_cache() -> None:
    from transformers import Cache

    asked: list[tuple[Any, ...]] = []

    class Recording(Cache):  # type: ignore[misc]
        def update(self, key_states: Any, value_states: Any, layer_idx: int, *_: Any, **__: Any) -> Any:
            asked.append((layer_idx, tuple(key_states.shape), tuple(value_states.shape)))
            return key_states, value_states

    calls = _read(_model(), Recording(layers=[]))
    assert asked == [(layer, (1, 1, 3, 8), (1, 1, 3, 8)) for layer in range(_LAYERS)], asked
    assert len(calls) == _LAYERS


@assumes(
    "transformers",
    "DynamicCache.layers",
    used_in="harness.scoring.shared_prefix.reader harness.scoring.shared_prefix.kv_cache "
    "harness.scoring.shared_prefix.reuse",
    spelled="layers keys values get_seq_length",
    assumed="one layer each, with `keys` and `values` [1, heads, tokens, width] that may be replaced, and "
    "the list shortened; `get_seq_length` and the next `update` go by them",
    why="`crop` has changed its meaning between releases, and cannot put back what was there before",
    breaks="models are read by the plain strategy",
)
def layers_of_a_cache() -> None:
    import torch
    from transformers import DynamicCache

    from harness.scoring.shared_prefix.reader import kept, shrink

    def grow(trunk: Any, count: int) -> None:
        for layer in range(_LAYERS):
            trunk.update(torch.ones(1, 1, count, 8), torch.ones(1, 1, count, 8), layer)

    trunk = DynamicCache()
    with kept(trunk):
        grow(trunk, 2)
    assert (len(trunk.layers), trunk.get_seq_length()) == (0, 0)
    grow(trunk, 3)
    with kept(trunk):
        grow(trunk, 2)
        assert trunk.get_seq_length() == 5
    assert trunk.get_seq_length() == 3
    shrink(trunk, 1)
    grow(trunk, 1)
    assert [tuple(layer.keys.shape) for layer in trunk.layers] == [(1, 1, 2, 8)] * _LAYERS


@assumes(
    "transformers",
    "config.sliding_window, config.rope_parameters",
    used_in="harness.scoring.shared_prefix.strategies",
    spelled="sliding_window rope_parameters rope_type original_max_position_embeddings",
    assumed="where a configuration says how far a layer sees, and at which length rotary factors change "
    "(`rope_type` and `original_max_position_embeddings`, one set or one for each kind of layer)",
    why="both are attributes of each architecture's configuration, under names that have changed before",
    breaks="log-likelihoods of texts longer than the window, or than `original_max_position_embeddings`, are "
    "wrong and nothing says so",
)
def where_reading_changes_with_length() -> None:
    from harness.scoring.shared_prefix.strategies import rope_limit, sliding_window

    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    assert rope_limit(_model(rope_parameters=rope).config) == 64
    factors = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
    long = {"rope_type": "longrope", "rope_theta": 10000.0, **factors}
    model = _model("phi3", rope_parameters=long, original_max_position_embeddings=32)
    assert rope_limit(model.config) == 32
    assert (rope_limit(_model().config), sliding_window(_model().config)) == (None, None)
    assert sliding_window(_model("mistral", sliding_window=7).config) == 7
    assert rope_limit(_model("gemma3_text", sliding_window=7).config) is None


@assumes(
    "transformers",
    "GenerationConfig.to_diff_dict",
    used_in="harness.scoring.shared_prefix.lm",
    spelled="to_diff_dict _from_model_config",
    assumed="what a model's generation config changes; of a plain model, nothing but special tokens, a "
    "length and where it came from (`_from_model_config`, `transformers_version`)",
    why="no public list says which of its settings matter to greedy generation",
    breaks="plain models are generated from by lm-eval's own code (slower)",
)
def generation_config_of_a_plain_model() -> None:
    from harness.scoring.shared_prefix.lm import _WITHOUT_EFFECT

    for architecture in ("llama", "gpt2", "qwen2"):
        left = set(_model(architecture).generation_config.to_diff_dict()) - _WITHOUT_EFFECT
        assert not left, f"{architecture}: {sorted(left)}"


@assumes(
    "transformers",
    "config._name_or_path",
    used_in="fusion.extraction",
    assumed="under this key, and no other, a configuration's JSON says where the model was loaded from",
    why="`config.name_or_path` reads it, but does not take it out of the JSON",
    breaks="a model in another folder is another model: extraction does not go on where it was killed",
)
def where_a_model_was_loaded_from() -> None:
    import json

    from transformers import LlamaConfig

    told = [json.loads(LlamaConfig(name_or_path=n).to_json_string(use_diff=False)) for n in ("here", "there")]
    assert [settings.pop("_name_or_path", None) for settings in told] == ["here", "there"]
    assert told[0] == told[1]


@assumes(
    "transformers",
    "model.hf_quantizer, model.is_quantized, config.quantization_config",
    used_in="fusion.models",
    spelled="hf_quantizer is_quantized quantization_config",
    assumed="the marks by which `save_pretrained` refuses a model that was quantised",
    why="a GGUF file is dequantised when it is loaded, and keeps the marks",
    breaks="GGUF models cannot be converted",
)
def marks_of_quantisation() -> None:
    from transformers.quantizers.base import HfQuantizer

    from fusion.models import _forget_quantisation

    model = _model()
    model.hf_quantizer = object.__new__(_unsaveable(HfQuantizer))
    model.is_quantized, model.config.quantization_config = True, {"quant_method": "gguf"}
    with tempfile.TemporaryDirectory() as folder:
        try:
            model.save_pretrained(folder)
        except Exception:
            _forget_quantisation(model)
        else:
            raise AssertionError("save_pretrained did not refuse a quantised model")
        model.save_pretrained(folder)
        assert "quantization_config" not in (Path(folder) / "config.json").read_text(encoding="utf-8")


def _unsaveable(base: Any) -> Any:
    from types import SimpleNamespace

    class Unsaveable(base):  # type: ignore[misc]
        quantization_config = SimpleNamespace(quant_method="gguf")

        def is_serializable(self, *_: Any, **__: Any) -> bool:
            return False

    Unsaveable.__abstractmethods__ = frozenset()
    return Unsaveable


@assumes(
    "transformers",
    "models.auto.modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    used_in="fusion.models",
    assumed="`model_type` of every causal architecture",
    why="`MODEL_FOR_CAUSAL_LM_MAPPING` imports every architecture's configuration",
    breaks="an unknown architecture gets another error than the one with the nearest name",
)
def names_of_architectures() -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    assert {"llama", "mpt", "gpt_neox", "qwen2"} <= set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


@assumes(
    "transformers",
    "TrainingArguments: types of its fields",
    used_in="harness.suite.hf_arguments",
    spelled="TrainingArguments fields",
    assumed="types, unions and enums, not their spelling as text",
    why="whether a dataclass gives types or their spelling depends on an import in its module",
    breaks="values of `training` that YAML read as text (1e-5) are not understood",
)
def types_of_training_arguments() -> None:
    from transformers import TrainingArguments

    types = {field.name: field.type for field in fields(TrainingArguments)}
    assert not [name for name, kind in types.items() if isinstance(kind, str)]
    assert types["learning_rate"] is float
    assert float in getattr(types["max_grad_norm"], "__args__", (types["max_grad_norm"],))


@assumes(
    "transformers",
    "TrainingArguments._n_gpu",
    used_in="fusion.training",
    assumed="what `n_gpu` gives, which decides whether the Trainer wraps the model in DataParallel",
    why="`n_gpu` is read-only; CUDA_VISIBLE_DEVICES would have to be set before CUDA starts",
    breaks="on a machine with several GPUs, training fails or trains with the plain loss",
)
def how_many_devices_train() -> None:
    from transformers import TrainingArguments

    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(output_dir=folder, use_cpu=True, report_to="none")
    assert settings.n_gpu in (0, 1)
    settings._n_gpu = 3
    assert settings.n_gpu == 3


@cache
def _trained() -> dict[str, Any]:
    """What our Trainer was given in a training of one step over two batches of two windows, and its files."""
    import numpy as np

    from fusion import training

    seen: dict[str, Any] = {"items": [], "weights": [], "losses": []}

    class Recording(training.FusionTrainer):
        def compute_loss(self, model: Any, inputs: Any, *args: Any, **named: Any) -> Any:
            seen["items"].append(named["num_items_in_batch"])
            loss = super().compute_loss(model, inputs, *args, **named)
            seen["losses"].append(float((loss[0] if isinstance(loss, tuple) else loss).detach()))
            return loss

    rng = np.random.default_rng(0)
    windows = [rng.integers(1, 48, size).astype(np.int32) for size in (5, 7, 4, 9)]
    arguments = {
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "num_train_epochs": 1,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": 1,
    }
    model = _model()
    before = model.forward
    with tempfile.TemporaryDirectory() as name, patch.object(training, "FusionTrainer", Recording):
        result = training.train(
            model,
            windows,
            None,
            training.Objective(),
            arguments=arguments,
            folder=Path(name),
            pad_id=0,
            seed=0,
            evaluation=windows[:1],
        )
        files = {path.name: path.stat().st_mtime_ns for path in (Path(name) / "checkpoint-1").iterdir()}
    return {
        **seen,
        "points": result.points,
        "steps": result.steps,
        "files": files,
        "forward": (before, model),
    }


@assumes(
    "transformers",
    "Trainer.compute_loss, Trainer.get_batch_samples, Trainer.model_accepts_loss_kwargs",
    used_in="fusion.training",
    spelled="compute_loss get_batch_samples model_accepts_loss_kwargs num_items_in_batch",
    assumed="`get_batch_samples` gives the batches of a step and the number of their labels that are not "
    "-100; `compute_loss` gets that number as `num_items_in_batch`, and with `model_accepts_loss_kwargs` "
    "what it returns is not divided once more",
    why="`compute_loss` is documented, how its result is scaled is not",
    breaks="the loss is scaled wrongly where gradients are accumulated",
)
def scaling_of_the_loss() -> None:
    trained = _trained()
    labels = (5 + 7 + 4 + 9) - 4
    assert [int(items) for items in trained["items"][:2]] == [labels, labels], trained["items"]
    logged = next(point["loss"] for point in trained["points"] if "loss" in point)
    assert trained["steps"] == 1
    assert abs(logged - sum(trained["losses"][:2])) < 1e-3, (logged, trained["losses"])


@assumes(
    "transformers",
    "Trainer.evaluation_loop, Trainer.log",
    used_in="fusion.training",
    spelled="evaluation_loop log metric_key_prefix",
    assumed="`evaluate` comes down to `evaluation_loop(..., metric_key_prefix=...)`, whose `metrics` are "
    "logged through `log(logs, ...)`; training logs `loss` through it",
    why="a callback hears of numbers when they are logged already",
    breaks="`eval_loss` is a mean of batches' means, or the parts of the loss are missing from curves",
)
def what_is_logged() -> None:
    points = _trained()["points"]
    assert {name for point in points for name in point} >= {
        "loss",
        "causal_lm_loss",
        "fusion_loss",
        "eval_loss",
    }
    found = next(point["eval_loss"] for point in points if "eval_loss" in point)
    assert abs(found - _trained()["losses"][-1]) < 1e-4, (found, _trained()["losses"])


@assumes(
    "transformers",
    "checkpoint-*/trainer_state.json",
    used_in="fusion.training",
    spelled="trainer_state.json checkpoint-",
    assumed="written last, when everything else of a checkpoint is there",
    why="the Trainer takes the newest folder, whole or not",
    breaks="a training that was killed while it saved cannot go on",
)
def last_file_of_a_checkpoint() -> None:
    files = _trained()["files"]
    last = max(files.values())
    assert files["trainer_state.json"] == last, sorted(files, key=files.__getitem__)


@assumes(
    "transformers",
    "model.forward",
    used_in="fusion.training",
    spelled="forward",
    assumed="a function set on the object is what a call of the model runs, under peft's wrapping too, and "
    "what the Trainer looks at",
    why="a wrapping module would change the names of parameters in checkpoints",
    breaks="training learns the plain causal LM loss",
)
def forward_of_the_object() -> None:
    import peft
    import torch

    for wrapped in (_model(), peft.get_peft_model(_model(), peft.LoraConfig(target_modules=["q_proj"]))):
        wrapped.forward = lambda **_: "ours"
        assert wrapped(input_ids=torch.arange(3)[None]) == "ours", type(wrapped).__name__
    before, model = _trained()["forward"]
    assert model.forward == before


@assumes(
    "peft",
    "LoraConfig.base_model_name_or_path",
    used_in="fusion.lora",
    assumed="where None, adapters are saved without a look at the model that they belong to",
    why="`get_peft_model` fills it in from the model",
    breaks="checkpoints of a training with LoRA ask the hub for the model's folder",
)
def base_model_of_adapters() -> None:
    import peft
    import peft.utils.save_and_load as saving

    model = _model()
    model.name_or_path = "no-such/model"
    wrapped = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]))
    settings = wrapped.peft_config[wrapped.active_adapter]
    assert settings.base_model_name_or_path == "no-such/model"
    settings.base_model_name_or_path = None
    with _forbidden(saving, "check_file_exists_on_hf_hub"):
        assert peft.get_peft_model_state_dict(wrapped)


@contextmanager
def _forbidden(module: Any, name: str) -> Iterator[None]:
    def asked(*arguments: Any, **_: Any) -> None:
        raise AssertionError(f"{name}{arguments} was called")

    with patch.object(module, name, asked):
        yield


@assumes(
    "peft",
    "classes of wrapped layers",
    used_in="fusion.lora",
    spelled="base_layer peft.",
    assumed="a layer with an adapter is of a class of peft's, and its `base_layer` is the layer itself",
    why="peft has no public test of it for every kind of adapter",
    breaks="an adapter of a head that shares its weight with the embedding is merged into both",
)
def layers_with_adapters() -> None:
    import peft

    model = _model()
    head = model.get_output_embeddings()
    peft.get_peft_model(model, peft.LoraConfig(target_modules=["lm_head"]))
    wrapped = model.get_output_embeddings()
    assert type(wrapped).__module__.startswith("peft."), type(wrapped)
    assert wrapped.base_layer is head
    assert not type(model.get_input_embeddings()).__module__.startswith("peft.")


@assumes(
    "peft",
    "errors of get_peft_model",
    used_in="fusion.lora",
    spelled="modules",
    assumed="the message about modules that a model lacks contains `modules`",
    why="peft raises ValueError for everything",
    breaks="the advice that comes with the error is about the rank, not about the modules",
)
def error_about_missing_modules() -> None:
    import peft

    for settings in ({"target_modules": ["absent"]}, {"target_modules": ["model"]}):
        try:
            peft.get_peft_model(_model(), peft.LoraConfig(task_type="CAUSAL_LM", **settings))
        except ValueError as error:
            assert "modules" in str(error) or "module " in str(error), error
        else:
            raise AssertionError(f"{settings} was taken")


@assumes(
    "accelerate",
    "utils.memory.should_reduce_batch_size",
    used_in="harness.scoring.shared_prefix.memory",
    assumed="whether an exception means that memory ran out, of a device or of the machine",
    why="the public `find_executable_batch_size` starts the work anew each time",
    breaks="scoring stops where memory runs out, and does not go on with half the batch",
)
def errors_of_memory() -> None:
    import torch
    from accelerate.utils.memory import should_reduce_batch_size

    full = ("CUDA out of memory.", "DefaultCPUAllocator: can't allocate memory")
    assert all(should_reduce_batch_size(RuntimeError(text)) for text in full)
    assert should_reduce_batch_size(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    assert not should_reduce_batch_size(RuntimeError("shapes do not match"))
