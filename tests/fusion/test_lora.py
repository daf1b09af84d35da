"""New adapters change nothing; only they are trained; they are merged into a plain model's weights."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from fusion.batches import Collator, WindowDataset
from fusion.decoder import split_model
from fusion.errors import FusionError
from fusion.lora import with_adapters
from fusion.training import Objective, attach_objective, train
from tests.fusion.tiny import tiny_model
from tests.fusion.toy_training import rows, weights, windows

LORA: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}
ARGUMENTS = {"per_device_train_batch_size": 4, "learning_rate": 1e-2, "max_steps": 6, "logging_steps": 2}
IDS = torch.arange(5, 17)[None]


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits  # type: ignore[no-any-return]


def trained(folder: Path, lora: dict[str, Any], **arguments: Any) -> tuple[Any, Any]:
    model = tiny_model("llama", seed=1)
    result = train(
        model, windows(), rows(windows()), Objective(lm_loss_weight=0.5), arguments=ARGUMENTS | arguments,
        folder=folder, pad_id=0, seed=7, lora=lora,
    )  # fmt: skip
    return model, result


def loss_and_gradients(model: Any) -> tuple[float, dict[str, torch.Tensor]]:
    attach_objective(model, Objective(lm_loss_weight=0.3))
    model.train()
    data = WindowDataset(windows(), rows(windows(), shift=0))
    loss = model(**Collator(0)([data[i] for i in range(len(data))])).loss
    loss.backward()
    return loss.item(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("modules", [["q_proj"], "all-linear", ["q_proj", "lm_head"]])
def test_before_the_first_step_the_loss_is_the_plain_models(modules: Any) -> None:
    plain, gradients = loss_and_gradients(tiny_model("llama", seed=1))
    with with_adapters(tiny_model("llama", seed=1), LORA | {"target_modules": modules}, 3) as wrapped:
        adapted, learned = loss_and_gradients(wrapped)
    assert adapted == pytest.approx(plain, abs=1e-6)
    assert learned and all("lora_" in name for name in learned)
    assert any(float(g.abs().max()) > 0 for g in learned.values())
    assert "lm_head.weight" in gradients  # what the plain model learns


@pytest.mark.parametrize("head", [False, True])
def test_gradients_of_adapters_are_those_of_the_dense_loss(head: bool) -> None:
    """Against automatic differentiation through the whole model, with adapters that are not zero."""
    settings = LORA | {"target_modules": ["q_proj", "down_proj", *(["lm_head"] if head else [])]}
    with with_adapters(tiny_model("llama", seed=1), settings, 3) as wrapped:
        draw = torch.Generator().manual_seed(5)
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_(0, 0.1, generator=draw)
        batch = Collator(0)([{"input_ids": w} for w in windows()])
        out = wrapped(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        dense = torch.nn.functional.cross_entropy(out.flatten(0, 1), batch["labels"].flatten())
        learned = [p for p in wrapped.parameters() if p.requires_grad]
        expected = torch.autograd.grad(dense, learned)
        attach_objective(wrapped, Objective())
        found = torch.autograd.grad(wrapped.train()(**batch).loss, learned)
    torch.testing.assert_close(list(found), list(expected), rtol=1e-4, atol=1e-6)


def test_a_trained_model_is_a_plain_one_that_says_what_the_adapted_one_said(tmp_path: Path) -> None:
    before = tiny_model("llama", seed=1)
    names = set(before.state_dict())
    model, result = trained(tmp_path, LORA, max_steps=12)
    assert set(model.state_dict()) == names
    assert all(p.requires_grad for p in model.parameters())
    changed = {n for n, p in model.state_dict().items() if not torch.equal(p, before.state_dict()[n])}
    assert changed == {f"model.layers.{i}.self_attn.{m}.weight" for i in (0, 1) for m in ("q_proj", "v_proj")}
    assert result.points[-1]["loss"] < result.points[0]["loss"]
    model.eval().save_pretrained(tmp_path / "saved")
    again = type(model).from_pretrained(tmp_path / "saved")
    torch.testing.assert_close(logits(again), logits(model))
    assert not list((tmp_path / "saved").glob("adapter*"))


def test_merging_keeps_what_the_adapters_say() -> None:
    model = tiny_model("llama", seed=1)
    with with_adapters(model, LORA, 3) as wrapped:
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(5))
        adapted = logits(wrapped)
    torch.testing.assert_close(logits(model), adapted, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(adapted, logits(tiny_model("llama", seed=1)), atol=1e-2)


def test_after_an_error_the_model_is_as_before() -> None:
    model = tiny_model("llama", seed=1)
    before = weights(model).clone()
    with pytest.raises(KeyError), with_adapters(model, LORA, 3) as wrapped:
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.data.fill_(1.0)
        raise KeyError
    assert torch.equal(weights(model), before)
    assert all(p.requires_grad for p in model.parameters())


def test_the_seed_decides_the_adapters() -> None:
    def start(seed: int) -> torch.Tensor:
        with with_adapters(tiny_model("llama", seed=1), LORA, seed) as wrapped:
            return torch.cat([p.detach().flatten() for n, p in wrapped.named_parameters() if "lora_A" in n])

    assert torch.equal(start(3), start(3)) and not torch.equal(start(3), start(4))


@pytest.mark.slow
def test_checkpointed_layers_train_the_same_adapters(tmp_path: Path) -> None:
    plain, _ = trained(tmp_path / "a", LORA, max_steps=2)
    saving, _ = trained(tmp_path / "b", LORA, max_steps=2, gradient_checkpointing=True)
    torch.testing.assert_close(weights(saving), weights(plain), rtol=1e-5, atol=1e-6)
    assert not torch.equal(weights(plain), weights(tiny_model("llama", seed=1)))


@pytest.mark.parametrize(("architecture", "module"), [("gemma2", "q_proj"), ("llama", "lm_head")])
def test_split_model_sees_through_the_wrapping(architecture: str, module: str) -> None:
    with with_adapters(tiny_model(architecture, seed=1), {"target_modules": [module]}, 3) as wrapped:
        decoder = split_model(wrapped)
        found = decoder.head(decoder.hidden(IDS, torch.ones_like(IDS)))
        torch.testing.assert_close(found, wrapped(input_ids=IDS).logits)


def test_unknown_settings_are_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match=r"lora\.lora_alfa is not .*\(did you mean 'lora_alpha'"):
        trained(tmp_path, {"r": 4, "lora_alfa": 8})


def test_a_name_that_others_use_is_led_to_pefts() -> None:
    adapters = with_adapters(tiny_model("llama"), {"rank": 4}, 0)
    with pytest.raises(FusionError, match="did you mean 'r'") as caught, adapters:
        pass
    assert len(caught.value.remedy) < 110


@pytest.mark.parametrize(("name", "value"), [("r", 0), ("r", "x"), ("bias", "foo"), ("lora_dropout", 2.0)])
def test_the_remedy_of_a_wrong_value_is_not_about_modules(name: str, value: Any) -> None:
    adapters = with_adapters(tiny_model("llama"), {"r": 4, name: value}, 0)
    with pytest.raises(FusionError, match="no LoRA adapters") as caught, adapters:
        pass
    assert "lora.r a whole number" in caught.value.remedy and "modules" not in caught.value.remedy


def test_settings_that_are_the_trainings_own_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match=r"lora\.task_type is set by the training"):
        trained(tmp_path, {"task_type": "SEQ_CLS"})


def test_modules_that_are_not_there_are_refused_and_others_named(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match="no LoRA adapters") as caught:
        trained(tmp_path, {"target_modules": ["query_key_value"]})
    assert "q_proj" in caught.value.remedy


def test_a_weight_shared_by_head_and_embeddings_takes_no_adapter() -> None:
    model = tiny_model("gpt2")  # ties them
    before = weights(model).clone()
    adapters = with_adapters(model, {"target_modules": ["lm_head"]}, 0)
    with pytest.raises(FusionError, match="share one weight"), adapters:
        pass
    assert torch.equal(weights(model), before)


def test_without_peft_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(FusionError, match="peft") as caught, with_adapters(tiny_model("llama"), LORA, 0):
        pass
    assert "pip install peft" in caught.value.remedy
