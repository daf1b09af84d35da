"""Texts from Python's standard library and tokenizers trained on them: no download, always the same."""

import json
import sysconfig
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from fusion.models import load_tokenizer

Pair = tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast]  # source, target
_BYTES = [f"<0x{b:02X}>" for b in range(256)]


def pairs(size: int, characters: int, models: Sequence[Path]) -> Iterator[tuple[str, Pair]]:
    """A pair of tokenizers of `size` tokens trained here, then each real source with the target, by name."""
    yield "trained here", (marked(size, characters), byte_level(size, characters))
    for source in models[1:]:
        yield f"{source.name} to {models[0].name}", (load_tokenizer(source), load_tokenizer(models[0]))


@cache
def library_text(size: int) -> str:
    """About `size` characters of Python's standard library."""
    parts: list[str] = []
    left = size
    for path in _sources():
        text = path.read_text("utf-8", errors="ignore")[:left]
        parts.append(text)
        left -= len(text)
        if left <= 0:
            break
    return "".join(parts)


def _sources() -> Iterator[Path]:
    root = Path(sysconfig.get_paths()["stdlib"])
    yield from (p for p in sorted(root.rglob("*.py")) if "site-packages" not in p.parts)


@cache
def byte_level(size: int, characters: int) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer like GPT-2's, trained on the library."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(library_text(characters).splitlines(keepends=True), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")


@cache
def marked(size: int, characters: int) -> PreTrainedTokenizerFast:
    """A tokenizer like Gemma's (marker for the space, byte fallback), trained on every other line."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(_BYTES), special_tokens=["<unk>", "<s>", "</s>"], show_progress=False
    )
    tokenizer.train_from_iterator(library_text(characters).splitlines()[::2], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=_with_bytes(tokenizer), bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def _with_bytes(tokenizer: Tokenizer) -> Tokenizer:
    """Add a piece for each byte, which trainers can only add as special tokens."""
    description = json.loads(tokenizer.to_str())
    vocabulary = description["model"]["vocab"]
    vocabulary |= {piece: len(vocabulary) + byte for byte, piece in enumerate(_BYTES)}
    return Tokenizer.from_str(json.dumps(description))
