"""What a model is read by: the fastest way that proves itself, and plainly where none does."""

from typing import Any

import pytest
import torch

from harness.scoring.shared_prefix import strategies
from harness.scoring.shared_prefix.packed_linear import PackedLinear
from harness.scoring.shared_prefix.strategies import choose
from tests.harness.scoring.shared_prefix.models import model_of


@pytest.mark.parametrize(
    ("architecture", "strategy"),
    [("llama", "tree"), ("mpt", "reuse"), ("bloom", "reuse"), ("mamba", "plain")],
)
def test_each_architecture_has_its_fastest_strategy(architecture: str, strategy: str) -> None:
    chosen = choose(model_of(architecture), "auto")
    assert chosen.strategy == strategy
    assert chosen.reason == (
        "mamba is not among the architectures proven for any strategy" if strategy == "plain" else ""
    )
    assert (chosen.reader is None) == (strategy == "plain")


def test_a_slower_strategy_can_be_asked_for() -> None:
    assert choose(model_of("llama"), "reuse").strategy == "reuse"
    asked = choose(model_of("llama"), "plain")
    assert (asked.strategy, asked.reason) == ("plain", "")


def test_an_architecture_that_is_on_the_list_but_reads_otherwise_falls_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Mamba's state is no cache of keys: put on the list, it fails its proof instead of being wrong."""
    monkeypatch.setattr(strategies, "REUSE", {*strategies.REUSE, "mamba"})
    chosen = choose(model_of("mamba"), "reuse")
    assert chosen.strategy == "plain"
    assert chosen.reason.startswith("reuse: ")


def test_bloom_as_a_tree_fails_its_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its positions come from the cache's slots, and its attention cannot be replaced."""
    monkeypatch.setattr(strategies, "TREE", {*strategies.TREE, "bloom"})
    chosen = choose(model_of("bloom"), "auto")
    assert chosen.strategy == "reuse"
    assert chosen.reason.startswith("tree: ")


def test_weights_are_left_as_they_were_where_the_proof_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategies, "disagreement", lambda *_: "they differ")
    model = model_of("llama")
    before = model.state_dict()
    assert choose(model, "auto").strategy == "plain"
    assert not any(isinstance(module, PackedLinear) for module in model.modules())
    assert model.state_dict().keys() == before.keys()


def test_a_wrong_tree_mask_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every token of a pack sees all before it: answers of one document would read each other."""
    from harness.scoring.shared_prefix import packing

    monkeypatch.setattr(packing, "_sees", lambda count, paths: torch.ones(count, count).tril().bool().numpy())
    chosen = choose(model_of("llama"), "auto")
    assert chosen.strategy == "reuse"
    assert "log-likelihoods differ" in chosen.reason


def test_a_model_over_several_devices_is_read_plainly() -> None:
    model: Any = model_of("llama")
    model.hf_device_map = {"model.layers.0": 0, "model.layers.1": 1}
    assert choose(model, "auto").reason == "the model is spread over several devices"
