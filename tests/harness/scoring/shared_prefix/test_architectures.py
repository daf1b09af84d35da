"""Every listed architecture gives the plain forward's numbers, past its sliding window too."""

from typing import Any

import numpy as np
import pytest
import torch

from harness.scoring.shared_prefix.generation import Prompt, generate
from harness.scoring.shared_prefix.loglikelihood import Request, score
from harness.scoring.shared_prefix.memory import Capacity
from harness.scoring.shared_prefix.self_check import window_disagreement
from harness.scoring.shared_prefix.strategies import REUSE, TREE, choose
from tests.harness.scoring.shared_prefix.models import (
    CONFIGS,
    VOCABULARY,
    WINDOW,
    Ids,
    model_of,
    plain_greedy,
    plain_scores,
    tree_of_sequences,
)

TREES = [name for name in CONFIGS if name.split()[0] in TREE]
REUSES = [name for name in CONFIGS if name.split()[0] in REUSE - {"gemma2"}]


def scores(reader: Any, sequences: list[Ids], answers: list[int], pack_tokens: int) -> list[Any]:
    found: dict[int, Any] = {}
    requests = [Request(s[:-1], s[-n:]) for s, n in zip(sequences, answers, strict=True)]
    score(reader, requests, pack_tokens=pack_tokens, logits_at_once=3, done=found.__setitem__)
    return [found[i] for i in range(len(sequences))]


def test_every_listed_architecture_is_tested() -> None:
    assert {name.split()[0] for name in TREES} == TREE
    assert {model_of(name).config.model_type for name in REUSES} >= REUSE - TREE


# with trunks and several packs; all in one row
@pytest.mark.parametrize("pack_tokens", [30, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("strategy", "architecture"), [*(("tree", a) for a in TREES), *(("reuse", a) for a in REUSES)]
)
def test_log_likelihoods_are_the_plain_ones(strategy: Any, architecture: str, pack_tokens: int) -> None:
    model = model_of(architecture)
    sequences, answers = tree_of_sequences(np.random.default_rng(1))
    expected = plain_scores(model, sequences, answers)
    chosen = choose(model, strategy)
    assert chosen.strategy == strategy, chosen.reason
    found = scores(chosen.reader, sequences, answers, pack_tokens)
    assert [f[0] for f in found] == pytest.approx([e[0] for e in expected], abs=1e-3)
    assert [f[1] for f in found] == [e[1] for e in expected]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", TREES)
def test_rows_generate_what_each_would_alone(architecture: str) -> None:
    """Seven prompts in three places, with and without a common prefix, of different lengths and limits."""
    model = model_of(architecture)
    rng = np.random.default_rng(3)
    trunk = rng.integers(3, VOCABULARY, 40)
    prompts = [np.concatenate([trunk, rng.integers(3, VOCABULARY, n)]) for n in (1, 5, 3, 9)]
    prompts += [rng.integers(3, VOCABULARY, n) for n in (2, 7, 30)]
    limits = [12, 3, 1, 20, 8, 15, 6]
    expected = [plain_greedy(model, p, n) for p, n in zip(prompts, limits, strict=True)]
    found: dict[int, list[int]] = {}
    reader: Any = choose(model, "tree").reader
    asked = [Prompt(p, n, lambda _: False) for p, n in zip(prompts, limits, strict=True)]
    generate(reader, asked, Capacity(16, 12, 4, 3, 1 << 20), found.__setitem__)
    assert [found[i] for i in range(len(prompts))] == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture", [n for n in TREES if "window" in n or n in ("gemma3_text", "mistral")]
)
def test_the_proof_past_a_sliding_window_sees_a_window_that_is_ignored(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader: Any = choose(model_of(architecture), "tree").reader
    assert window_disagreement(reader, WINDOW) == ""
    monkeypatch.setattr(
        "harness.scoring.shared_prefix.attention.near", lambda q, k, w: torch.ones(len(q), len(k)).bool()
    )
    assert "differ" in window_disagreement(reader, WINDOW)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions_prove_themselves_too(dtype: torch.dtype) -> None:
    assert choose(model_of("llama", dtype), "auto").strategy == "tree"
