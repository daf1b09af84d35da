"""A tiny model, a tiny hub-shaped mirror and lm-eval's own command line, for the scoring tests."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

WORDS = ["red", "green", "blue", "one", "two", "three", "cat", "dog", "bird", "sun", "moon", "star"]


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def arc_row(i: int) -> dict[str, Any]:
    texts = [WORDS[(i + j) % len(WORDS)] for j in range(4)]
    return {
        "id": f"row-{i}",
        "question": f"What comes after {WORDS[i % len(WORDS)]} in round {i}?",
        "choices": {"text": texts, "label": ["A", "B", "C", "D"]},
        "answerKey": "ABCD"[(i * 7) % 4],
    }


def gsm8k_row(i: int) -> dict[str, Any]:
    question = f"A cat has {i} stars and finds {i + 2} more. How many?"
    return {"question": question, "answer": f"{i} + {i + 2} = {2 * i + 2} stars\n#### {2 * i + 2}"}


def humaneval_row(i: int) -> dict[str, Any]:
    prompt = f'def add_{i}(x):\n    """Add {i} to x."""\n'
    return {
        "task_id": f"HumanEval/{i}",
        "prompt": prompt,
        "canonical_solution": f"    return x + {i}\n",
        "entry_point": f"add_{i}",
        "test": f"def check(f):\n    assert f(1) == {i + 1}\n",
    }


def write_mirror(folder: Path) -> Path:
    """ARC-Easy, GSM8K and HumanEval in the hub's columns, a few rows each."""
    for split, first, count in (("train", 0, 12), ("validation", 12, 8), ("test", 20, 10)):
        rows = [arc_row(i) for i in range(first, first + count)]
        write_rows(folder / "allenai" / "ai2_arc" / "ARC-Easy" / f"{split}.jsonl", rows)
    for split, first, count in (("train", 0, 20), ("test", 20, 8)):
        rows = [gsm8k_row(i) for i in range(first, first + count)]
        write_rows(folder / "openai" / "gsm8k" / "main" / f"{split}.jsonl", rows)
    write_rows(folder / "openai" / "openai_humaneval" / "test.jsonl", [humaneval_row(i) for i in range(5)])
    return folder


def write_model(folder: Path) -> Path:
    """A random Llama of 60k parameters with a byte-level BPE tokenizer of 400 tokens."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = [json.dumps(row) for i in range(30) for row in (arc_row(i), gsm8k_row(i), humaneval_row(i))]
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id,
        initializer_range=0.3,  # wide, so that choices differ clearly
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


COMMAND_LINE = """
import json, sys
from pathlib import Path
import datasets

MIRROR = Path(sys.argv.pop(1))

def load_dataset(path, name=None, **_):
    files = (MIRROR / path / (name or "")).glob("*.jsonl")
    rows = {f.stem: [json.loads(line) for line in f.open(encoding="utf-8")] for f in files}
    return datasets.DatasetDict({split: datasets.Dataset.from_list(r) for split, r in rows.items()})

datasets.load_dataset = load_dataset
from lm_eval.__main__ import cli_evaluate
cli_evaluate()
"""


def run_command_line(folder: Path, mirror: Path, arguments: list[str]) -> dict[str, list[dict[str, Any]]]:
    """lm-eval's own command line in its own process, datasets from `mirror`; task -> samples."""
    import os
    import subprocess
    import sys

    command = [sys.executable, "-c", COMMAND_LINE, str(mirror), *arguments]
    command += ["--log_samples", "--output_path", str(folder)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, list[dict[str, Any]]] = {}
    for path in folder.rglob("samples_*.jsonl"):
        task = path.stem.removeprefix("samples_").rsplit("_", 1)[0]
        found[task] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return found
