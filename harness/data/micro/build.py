"""Builds the models that ship with the micro suite: `python -m harness.data.micro.build [--only NAME ...]`.

Everything is seeded. Tokenizers are equal on all machines; weights differ in the last digits.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.resources import files
from itertools import count, islice
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from harness.core.files import sha256_file
from harness.data.micro.vocabularies import build_tokenizer
from harness.data.micro.world import EVERYTHING, WORLD_SEED, Knowledge, Part, documents, fingerprint

FOLDER = Path(str(files("suites"))) / "micro"
WIDTH, HEADS = 128, 4
WARM_UP_STEPS = 100
FINAL_RATE = 0.02  # of the peak learning rate, at the end of the cosine


@dataclass(frozen=True)
class Recipe:
    """How one model is made. A step trains on `batch` documents of one part; parts alternate."""

    architecture: str
    tokenizer: str
    vocabulary: int
    parts: tuple[Part, ...]
    steps: int
    layers: int = 2
    batch: int = 16
    learning_rate: float = 2e-3
    knowledge: Knowledge = EVERYTHING
    bos: bool = False
    seed: int = 7


RECIPES = {
    "target": Recipe(
        architecture="llama",
        tokenizer="byte_level_bpe",
        vocabulary=1100,
        parts=("commonsense", "code", "reasoning", "code"),
        steps=600,
        knowledge=Knowledge(commonsense=0.25, reasoning=0.25, code=0.5, certain=True),
    ),
    "reasoning": Recipe(
        architecture="llama",
        tokenizer="byte_level_bpe",
        vocabulary=768,
        parts=("reasoning",),
        steps=900,
        bos=True,
    ),
    "commonsense": Recipe(
        architecture="mpt",
        tokenizer="word_piece",
        vocabulary=600,
        parts=("commonsense",),
        steps=1000,
    ),
    "code": Recipe(
        architecture="gpt_neox",
        tokenizer="unigram",
        vocabulary=820,
        parts=("code",),
        steps=800,
    ),
}


@dataclass(frozen=True)
class Training:
    """Statistics of a training: text tokens (without padding), seconds, first and last loss in nats."""

    tokens: int
    seconds: float
    first_loss: float
    last_loss: float


def create_model(recipe: Recipe, tokenizer: Any) -> Any:
    """A model of the recipe's architecture, initialised at random with the recipe's seed."""
    torch.manual_seed(recipe.seed)
    common = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": True,
        "initializer_range": 0.06,
    }
    usual = {
        "hidden_size": WIDTH,
        "num_hidden_layers": recipe.layers,
        "num_attention_heads": HEADS,
        "max_position_embeddings": 512,
    }
    configs = {
        "llama": lambda: transformers.LlamaConfig(**common, **usual, intermediate_size=3 * WIDTH),
        "gpt_neox": lambda: transformers.GPTNeoXConfig(
            **common,
            **usual,
            intermediate_size=4 * WIDTH,
            use_parallel_residual=False,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 1.0},
        ),
        "mpt": lambda: transformers.MptConfig(
            **common, d_model=WIDTH, n_layers=recipe.layers, n_heads=HEADS, max_seq_len=512
        ),
    }
    return transformers.AutoModelForCausalLM.from_config(configs[recipe.architecture]())


def batches(recipe: Recipe, tokenizer: Any) -> Iterator[Tensor]:
    """Endless batches of token ids [B, L], right-padded; each document ends with eos."""
    streams = [documents(part, recipe.seed, recipe.knowledge) for part in recipe.parts]
    for turn in count():
        texts = list(islice(streams[turn % len(streams)], recipe.batch))
        rows = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in texts]
        length = max(map(len, rows))
        yield torch.tensor([row + [tokenizer.pad_token_id] * (length - len(row)) for row in rows])


def _rate(step: int, steps: int) -> float:
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    return warm * (FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * step / steps)))


def train(model: Any, recipe: Recipe, tokenizer: Any) -> Training:
    """Train the model in place on `recipe.steps` batches with the causal language-model loss."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, recipe.steps))
    start, tokens, losses = time.perf_counter(), 0, []
    model.train()
    for ids in islice(batches(recipe, tokenizer), recipe.steps):
        mask = ids != tokenizer.pad_token_id
        loss = model(input_ids=ids, attention_mask=mask.long(), labels=ids.masked_fill(~mask, -100)).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        tokens += int(mask.sum())
        losses.append(loss.item())
    return Training(tokens, round(time.perf_counter() - start, 1), losses[0], losses[-1])


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a folder that `AutoModelForCausalLM` and `AutoTokenizer` load; weights in half precision."""
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def build(name: str, folder: Path) -> dict[str, Any]:
    """Train and save one model; returns its entry of the manifest."""
    recipe = RECIPES[name]
    tokenizer = build_tokenizer(recipe.tokenizer, recipe.vocabulary, bos=recipe.bos)
    model = create_model(recipe, tokenizer)
    training = train(model, recipe, tokenizer)
    save(model, tokenizer, folder)
    return {
        "recipe": asdict(recipe),
        "parameters": model.num_parameters(),
        "vocabulary": len(tokenizer),
        "training": asdict(training),
        "tokenizer_sha256": sha256_file(folder / "tokenizer.json"),
        "weights_sha256": sha256_file(folder / "model.safetensors"),
    }


def update_manifest(path: Path, name: str, entry: dict[str, Any]) -> None:
    """Write one model's entry into the manifest; the others stay."""
    models = json.loads(path.read_text())["models"] if path.exists() else {}
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    made = {"world_seed": WORLD_SEED, "world_sha256": fingerprint(), "built_with": versions}
    manifest = {"version": 1, **made, "models": models | {name: entry}}
    path.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")


def main() -> None:
    """Build the named models (default: all) and update the manifest."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=RECIPES, default=list(RECIPES), metavar="NAME")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="default: suites/micro")
    options = parser.parse_args()
    for name in options.only:
        entry = build(name, options.folder / "models" / name)
        print(name, entry["training"], flush=True)
        update_manifest(options.folder / "manifest.json", name, entry)


if __name__ == "__main__":
    main()
