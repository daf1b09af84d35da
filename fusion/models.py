"""Models and tokenizers on disk: load, save, convert (GGUF, pickle), make at random, count, fingerprint.

Weights are read from safetensors only. Pickled weights (.bin) can run code when they are loaded and are
refused, except by `convert_pickle`, which uses PyTorch's restricted unpickler.
"""

import hashlib
import json
import struct
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion.errors import FusionError, first_line

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

CHUNK = 1 << 22  # bytes read at a time when hashing
FLOATS = {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"}  # safetensors' names of parameters' types


def pick_device(name: str) -> str:
    """The device that a setting names; "auto" is "cuda" if available, else "cpu"."""
    import torch

    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_model(folder: Path, *, dtype: str = "float32", device: str = "cpu") -> "PreTrainedModel":
    """Load the causal language model in `folder` for evaluation. `dtype` is torch's name, like "bfloat16"."""
    import torch
    from transformers import AutoModelForCausalLM

    _weight_files(folder)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            local_files_only=True,
            use_safetensors=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise FusionError(
            f"cannot load the model in {folder}: {first_line(error)}",
            remedy="the folder needs config.json and complete weights that fit it; fetch the model again",
        ) from error
    return model.to(device).eval()


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerFast":
    """Load the fast tokenizer in `folder`; slow ones are refused, since they do not give a token's text."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True, local_files_only=True)
    except Exception as error:  # transformers passes on what its many readers raise
        raise FusionError(
            f"cannot load the tokenizer of {folder.name!r} ({folder}): {first_line(error)}",
            remedy="the folder needs tokenizer.json, as a fast tokenizer's `save_pretrained` writes it",
        ) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise FusionError(
            f"the tokenizer of {folder.name!r} ({folder}) is {type(tokenizer).__name__}, which is not fast",
            remedy="fusion needs the bytes of every token: convert it to a fast tokenizer (tokenizer.json)",
        )
    return tokenizer


def save_model(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerFast", folder: Path) -> None:
    """Save model and tokenizer so that `load_model` and `load_tokenizer` can read them."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def weights_fingerprint(folder: Path) -> str:
    """SHA-256 of the names and contents of the safetensors files, in the order of their names."""
    digest = hashlib.sha256()
    for path in _weight_files(folder):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        for block in _blocks(path):
            digest.update(block)
    return digest.hexdigest()


def count_parameters(folder: Path) -> int:
    """Number of parameters, from the safetensors headers alone. Tied tensors are counted once."""
    return sum(
        prod(tensor["shape"])
        for path in _weight_files(folder)
        for tensor in _header(path).values()
        if tensor["dtype"] in FLOATS
    )


def vocabulary_size(folder: Path) -> int:
    """Width of the model's logits, from its configuration."""
    return int(_configuration(folder).get_text_config().vocab_size)


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Dequantise a GGUF file into a model folder.

    Weights are saved as bfloat16 only if that changes no value, else as float32: the folder must have the
    quantised file's exact values, and the scales of 4-bit blocks do not fit bfloat16.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = {"gguf_file": gguf.name, "local_files_only": True}
    try:
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, **place)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **place)
    except Exception as error:  # transformers passes on what its many readers raise
        raise FusionError(
            f"cannot convert {gguf}: {first_line(error)}",
            remedy="transformers reads GGUF of common architectures (Llama, Qwen, Gemma) with package gguf",
        ) from error
    _forget_quantisation(model)
    save_model(_narrowed(model), tokenizer, folder)


def convert_pickle(folder: Path, destination: Path) -> None:
    """Copy a model folder with .bin weights as safetensors; .bin files with more than tensors are refused."""
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype="auto", local_files_only=True, use_safetensors=False, weights_only=True
        )
    except Exception as error:  # transformers passes on what its many readers raise
        raise FusionError(
            f"cannot convert the .bin weights in {folder}: {first_line(error)}",
            remedy="use a model whose weights are safetensors, or whose .bin files contain only tensors",
        ) from error
    save_model(model, load_tokenizer(folder), destination)


def random_model(
    model_type: str,
    tokenizer: "PreTrainedTokenizerFast",
    folder: Path,
    *,
    seed: int,
    hidden_size: int = 64,
    layers: int = 2,
    heads: int = 4,
) -> None:
    """Make a randomly initialised model of `model_type`, a transformers name (llama, mpt, gpt_neox, ...)."""
    import torch
    from transformers import AutoModelForCausalLM

    configuration = _small_configuration(model_type, tokenizer, hidden_size, layers, heads)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(configuration, dtype=torch.float32)
    save_model(model, tokenizer, folder)


def _small_configuration(model_type: str, tokenizer: Any, hidden_size: int, layers: int, heads: int) -> Any:
    from transformers import AutoConfig

    try:
        usual = AutoConfig.for_model(model_type)
    except (ValueError, KeyError) as error:
        raise FusionError(
            f"no architecture {model_type!r}{_nearest_architecture(model_type)}",
            remedy="use the `model_type` of a causal language model, as in its config.json",
        ) from error
    wanted = {
        "hidden_size": hidden_size,
        "intermediate_size": 2 * hidden_size,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "head_dim": hidden_size // heads,
        "vocab_size": len(tokenizer),
    }
    special = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in ("bos", "eos", "pad")}
    return AutoConfig.for_model(
        model_type, **{k: v for k, v in wanted.items() if hasattr(usual, k)}, **special
    )


def _nearest_architecture(model_type: str) -> str:
    from difflib import get_close_matches

    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    close = get_close_matches(model_type, list(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _forget_quantisation(model: Any) -> None:
    """Remove the marks of quantisation, with which `save_pretrained` would refuse the plain tensors."""
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def _narrowed(model: Any) -> Any:
    """The model in bfloat16 if that changes no value, else as it is."""
    import torch

    lossless = all(torch.equal(p.to(torch.bfloat16).to(p.dtype), p) for p in model.parameters())
    return model.to(torch.bfloat16) if lossless else model


def _configuration(folder: Path) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise FusionError(
            f"cannot read the configuration of the model in {folder}: {first_line(error)}",
            remedy="a model folder needs config.json with a model_type that transformers knows",
        ) from error


def _weight_files(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.safetensors"))
    if found:
        return found
    pickled = sorted(p.name for suffix in ("*.bin", "*.pt", "*.pth") for p in folder.glob(suffix))
    if pickled:
        raise FusionError(
            f"{folder} holds its weights only as pickle ({', '.join(pickled[:3])}), which can run code",
            remedy="convert them once: python -c 'from pathlib import Path; from fusion.models import "
            f'convert_pickle; convert_pickle(Path("{folder}"), Path("{folder}-safetensors"))\'',
        )
    problem = "holds no *.safetensors" if folder.is_dir() else "is not there"
    raise FusionError(f"no model: {folder} {problem}", remedy="name a folder that `save_pretrained` wrote")


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            yield block


def _header(path: Path) -> dict[str, Any]:
    """Tensors of a safetensors file: 8 bytes length (little endian), then JSON {name: {dtype, shape, ..}}."""
    with path.open("rb") as file:
        try:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        except (struct.error, ValueError, MemoryError, OverflowError) as error:
            raise FusionError(f"{path} is not a whole safetensors file", remedy="fetch it again") from error
    return {name: tensor for name, tensor in header.items() if name != "__metadata__"}
