"""The stages' bodies on the shipped models: methods that the micro suite itself does not choose."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from fusion.errors import FusionError
from fusion.method import Method
from fusion.model_vocabulary import ModelVocabulary
from fusion.training import Anneal, Objective
from fusion.vocabulary_rules import map_vocabulary
from harness.core.exceptions import StageError
from harness.pipeline.graph import build_pipeline
from harness.pipeline.runner import StageResult, run_stages
from harness.pipeline.steps import extract_distributions as extracting
from harness.pipeline.steps.write_windows import WindowText
from harness.pipeline.store import Store
from harness.suite.load import bundled_folder, load_suite
from harness.suite.run_options import RunOptions
from tests.harness.observers import Silent

MODELS = bundled_folder() / "micro" / "models"
VOCABULARIES = ModelVocabulary(MODELS / "code"), ModelVocabulary(MODELS / "target")
SMALL = ("corpus.documents=12", "training.max_steps=3", "training.per_device_train_batch_size=4")
SOURCE = "neox-code"
ONE_SOURCE = (f"sources=[{{name: {SOURCE}, model: micro/models/code}}]",)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def run(store: Store, only: str, *overrides: str) -> dict[str, StageResult]:
    loaded = load_suite("micro", [*SMALL, *ONE_SOURCE, *overrides])
    stages = build_pipeline(loaded, RunOptions(offline=True)).only([only])
    return run_stages(stages, store, Silent())


def coverage(outcomes: Mapping[str, StageResult]) -> dict[str, float]:
    found: dict[str, float] = outcomes[f"alignment:{SOURCE}"].entry.facts["coverage"]
    return found


# --- by spelling


def test_the_released_codes_method_runs_through_every_stage(store: Store) -> None:
    """It takes any nearest token however far, so every token is mapped; on aligned rows nothing is lost but
    what the ten likeliest tokens leave and what a second token of the same target token had."""
    outcomes = run(store, "fusion", "fusion.paper=fusellm-release")
    assert outcomes[f"vocabulary:{SOURCE}"].entry.facts["mapped_percent"] == 100.0
    assert coverage(outcomes)["positions"] > 50
    assert coverage(outcomes)["mass"] > 90
    assert sum(outcomes["fusion"].entry.facts["attribution"].values()) == pytest.approx(100)


def test_spelling_sees_other_equals_than_bytes(store: Store) -> None:
    """A byte-level token writes a space as one sign, a Unigram token as another: by bytes they are equal, by
    spelling not."""
    by_bytes, by_spelling = (
        run(store, f"alignment:{SOURCE}", "fusion.alignment=em", f"fusion.compare={compare}")
        for compare in ("bytes", "spelling")
    )
    mapped = [o[f"vocabulary:{SOURCE}"].entry.facts["mapped_percent"] for o in (by_bytes, by_spelling)]
    assert mapped[0] > mapped[1] > 0
    assert coverage(by_bytes)["positions"] > coverage(by_spelling)["positions"] > 0


def test_there_is_no_prefix_map_by_spelling() -> None:
    method = Method(compare="spelling", vocabulary="prefix")
    with pytest.raises(FusionError, match="no vocabulary map 'prefix' by spelling"):
        map_vocabulary(*VOCABULARIES, method)


def test_the_threshold_of_the_map_is_the_suites() -> None:
    """At 0 only equal tokens are mapped, and more of them the further a nearest token may be."""

    def mapped(**choices: Any) -> int:
        found = map_vocabulary(*VOCABULARIES, Method(**choices))
        return int((found.target_ids >= 0).sum())

    none, some, more = (mapped(vocabulary="mined", vocabulary_threshold=t) for t in (0.0, 0.34, 0.6))
    assert none == mapped(vocabulary="em")
    assert none < some < more


# --- training


def test_the_objective_is_the_suites() -> None:
    method = Method(temperature=2.0, loss="kl", lm_loss_weight=0.9, lm_loss_weight_schedule="cosine")
    plain = Objective.of(method)
    annealed = Objective.of(replace(method, lm_loss_weight_end=0.1))
    assert plain == Objective(lm_loss_weight=0.9, temperature=2.0, loss="kl")
    assert annealed == Objective(lm_loss_weight=Anneal(0.9, 0.1, "cosine"), temperature=2.0, loss="kl")


@pytest.mark.slow
def test_lora_trains_the_named_modules_and_leaves_a_plain_model(store: Store) -> None:
    """Merged, it has the target's tensors; only those with adapters are other than before."""
    chosen = "{r: 4, lora_alpha: 8, target_modules: [q_proj, v_proj]}"
    outcomes = run(store, "training:fused", f"lora={chosen}", "training.learning_rate=0.01")
    after = load_file(outcomes["training:fused"].entry.folder / "model" / "model.safetensors")
    before = load_file(MODELS / "target" / "model.safetensors")
    assert after.keys() == before.keys()
    changed = {name for name in before if not torch.equal(after[name].float(), before[name].float())}
    assert {name.split(".")[-2] for name in changed} == {"q_proj", "v_proj"}
    assert outcomes["training:fused"].entry.facts["steps"] == 3


@pytest.mark.slow
def test_lora_that_fits_no_module_names_those_that_there_are(store: Store) -> None:
    with pytest.raises(StageError, match="stage training:fused: no LoRA adapters can be made") as caught:
        run(store, "training:fused", "lora={r: 4, target_modules: [query]}")
    assert "q_proj" in caught.value.remedy


# --- a model whose logits are not finite


def test_a_document_that_breaks_a_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One token's embedding is not a number; only the last document contains it."""
    broken = tmp_path / "broken"
    shutil.copytree(MODELS / "code", broken)
    (token,) = AutoTokenizer.from_pretrained(broken)("7", add_special_tokens=False)["input_ids"][-1:]
    weights = load_file(broken / "model.safetensors")
    (name,) = (n for n in weights if "embed_in" in n)
    weights[name][token] = np.nan
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    windows = [WindowText(5, "code", "def f(x):", True), WindowText(8, "text", "x + 7 is it", True)]
    monkeypatch.setattr(extracting, "read_windows", lambda _context: windows)
    draft: Any = SimpleNamespace(scratch=tmp_path, folder=tmp_path, facts={})
    context: Any = SimpleNamespace(report=lambda *_: None)
    with pytest.raises(FusionError) as caught:
        extracting.extract_distributions(
            draft,
            context,
            model=lambda _context: broken,
            name="broken",
            top_k=10,
            batch_tokens=4096,
            dtype="bfloat16",
            bos=None,
            device="cpu",
        )
    assert "not finite" in caught.value.message
    assert caught.value.message.endswith("window 1 is in document 8 of the corpus, part 'text'")
    assert caught.value.remedy.startswith("set fusion.dtype to float32 (it is bfloat16), or check")


@pytest.mark.parametrize("message", ["no window here", "window 9: logits are not finite"])
def test_an_error_that_speaks_of_no_window_stays_as_it_is(message: str) -> None:
    error = FusionError(message, remedy="do this")
    windows = [WindowText(0, "code", "a", True)]
    assert extracting._with_document(error, windows, "float32") is error
