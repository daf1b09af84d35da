"""Estimates: known values by hand, and what must grow with what."""

from pathlib import Path
from typing import Any

import pytest

from harness.pipeline import costs
from harness.pipeline.costs import StageCost, corpus_tokens, estimate, matmul_speed, row_bytes
from harness.suite.spec import LoadedSuite, Suite

PARAMETERS = {"base": 100_000_000, "other": 200_000_000}
CORPUS = 3_500_000  # bytes: a million tokens at 3.5 bytes each
MILLION = 1_000_000


def suite(training: dict[str, Any] | None = None, **changes: Any) -> LoadedSuite:
    values: dict[str, Any] = {
        "version": 1,
        "name": "s",
        "target": {"name": "base", "model": "a/b"},
        "sources": [{"name": "other", "model": "c/d"}],
        "corpus": {"kind": "python"},
        "fusion": {"block_size": 100},
        "training": {"num_train_epochs": 2, "per_device_train_batch_size": 4, **(training or {})},
        "benchmarks": {
            "code": [
                {
                    "name": "he",
                    "tasks": "he",
                    "metrics": "pass@1",
                    "limit": 10,
                    "gen_kwargs": {"max_gen_toks": 50},
                }
            ],
            "common": [{"name": "arc", "tasks": ["x", "y"], "metrics": "acc", "limit": 10}],
        },
    }
    return LoadedSuite(suite=Suite.model_validate({**values, **changes}), folder=Path())


def cost(stage: str, loaded: LoadedSuite | None = None, speed: float = 1e9) -> StageCost:
    return estimate(loaded or suite(), PARAMETERS, CORPUS, speed)[stage]


def test_stages_are_all_there_by_name() -> None:
    models = ["base", "other", "fused", "control"]
    assert set(estimate(suite(), PARAMETERS, CORPUS, 1e9)) == {
        "corpus", "windows", "vocabulary:other", "alignment:other", "fusion",
        "model:base", "model:other", "distributions:base", "distributions:other",
        "training:fused", "training:control",
        *(f"scoring:{model}:{benchmark}" for model in models for benchmark in ("he", "arc")),
    }  # fmt: skip


def test_every_further_seed_is_trained_and_scored() -> None:
    once, twice = (estimate(suite(seeds=n), PARAMETERS, CORPUS, 1e9) for n in (1, 2))
    assert set(twice) - set(once) == {
        "training:fused@1", "training:control@1",
        *(f"scoring:{kind}@1:{name}" for kind in ("fused", "control") for name in ("he", "arc")),
    }  # fmt: skip
    assert twice["training:fused@1"] == once["training:fused"]


def test_extraction_by_hand() -> None:
    """2 P T = 2 x 2e8 x 1e6 = 4e14 FLOPs; at 60 % of 1e9 a second; 47 bytes a token at k = 10."""
    found = cost("distributions:other")
    assert found["tokens"] == corpus_tokens(CORPUS) == MILLION
    assert found["flops"] == pytest.approx(4e14)
    assert found["seconds"] == pytest.approx(4e14 / 0.6e9)
    assert found["disk_bytes"] == 47 * MILLION


def test_a_stored_position_by_hand() -> None:
    """k ids of 2 bytes and k log-probabilities of 2; leftover 2, gold 2, input id 2, length 1."""
    assert row_bytes(10) == 47
    assert row_bytes(20) - row_bytes(10) == 40


def test_training_by_hand() -> None:
    """6 P T over two epochs: 6 x 1e8 x 2e6 = 1.2e15 FLOPs; 16 bytes a parameter, and activations beside."""
    found = cost("training:fused")
    assert found["tokens"] == 2 * MILLION
    assert found["flops"] == pytest.approx(1.2e15)
    assert found["disk_bytes"] == 4 * PARAMETERS["base"]
    assert found["memory_bytes"] > 16 * PARAMETERS["base"] + costs.WORKING_MEMORY


def test_control_costs_what_fused_costs() -> None:
    assert cost("training:control") == cost("training:fused")
    assert cost("scoring:control:he") == cost("scoring:fused:he")


def test_checkpointing_trades_memory_for_work() -> None:
    plain, again = cost("training:fused"), cost("training:fused", suite({"gradient_checkpointing": True}))
    assert again["flops"] == pytest.approx(plain["flops"] * 8 / 6)
    assert again["memory_bytes"] < plain["memory_bytes"]


def test_max_steps_decides_the_tokens_where_it_is_given() -> None:
    loaded = suite({"max_steps": 5, "gradient_accumulation_steps": 3})
    assert cost("training:fused", loaded)["tokens"] == 5 * 3 * 4 * 100  # steps x accumulation x batch x block


def test_held_out_documents_are_not_trained() -> None:
    loaded = suite(corpus={"kind": "python", "evaluation_fraction": 0.25})
    assert cost("training:fused", loaded)["tokens"] == 1.5 * MILLION


def test_scoring_by_hand() -> None:
    """10 items x (one question of 170 + 50 generated); the generated ones count twice in time."""
    found = cost("scoring:base:he")
    assert found["tokens"] == 10 * (170 + 50)
    assert found["seconds"] == pytest.approx(2e8 * 10 * (170 + 2 * 50) / 0.6e9)
    assert cost("scoring:base:arc")["tokens"] == 2 * 10 * 180  # two tasks, choices


def test_time_follows_the_machine_and_nothing_else_does() -> None:
    slow, fast = cost("training:fused", speed=1e9), cost("training:fused", speed=1e12)
    assert slow["seconds"] == pytest.approx(1000 * fast["seconds"])
    assert slow["memory_bytes"] == fast["memory_bytes"]


def test_models_of_unknown_size_are_left_out() -> None:
    found = estimate(suite(), {"other": 1000}, CORPUS, 1e9)
    assert "distributions:other" in found
    assert not any(name.split(":")[-1] == "fused" or ":base" in name for name in found)


def test_a_short_probe_finds_a_plausible_speed() -> None:
    assert 1e8 < matmul_speed("cpu", seconds=0.05) < 1e15
