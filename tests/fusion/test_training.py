"""Control and fused go through the same loop; the loss weighs tokens rightly; failures say what to do."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fusion.batches import Collator, WindowDataset
from fusion.choices import WithoutTeacher
from fusion.errors import FusionError
from fusion.hf_settings import REFUSED_ARGUMENTS
from fusion.training import Anneal, Objective, TeacherRows, TrainingResult, attach_objective, train
from tests.fusion.tiny import tiny_model
from tests.fusion.toy_training import rows as _rows
from tests.fusion.toy_training import weights as _weights
from tests.fusion.toy_training import windows as _windows

ARGUMENTS = {"per_device_train_batch_size": 4, "learning_rate": 1e-2, "max_steps": 6, "logging_steps": 2}


def _train(
    folder: Path, teacher: TeacherRows | None, objective: Objective, **arguments: Any
) -> tuple[Any, TrainingResult]:
    model = tiny_model("llama", seed=1)
    result = train(
        model,
        _windows(),
        teacher,
        objective,
        arguments=ARGUMENTS | arguments,
        folder=folder,
        pad_id=0,
        seed=7,
    )
    return model, result


def _loss(
    objective: Objective, teacher: TeacherRows | None, windows: list[np.ndarray[Any, Any]], **extra: Any
) -> float:
    model = tiny_model("llama", seed=1)
    attach_objective(model, objective)
    model.train()
    data = WindowDataset(windows, teacher)
    with torch.no_grad():
        return float(model(**Collator(0)([data[i] for i in range(len(windows))]), **extra).loss)


def test_the_causal_part_equals_the_models_own_loss() -> None:
    windows = _windows()
    model = tiny_model("llama", seed=1)
    batch = Collator(0)([{"input_ids": w} for w in windows])
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    own = float(
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss
    )
    assert _loss(Objective(), None, windows) == pytest.approx(own, abs=1e-5)


def test_a_teacher_of_the_next_token_agrees_with_the_labels_and_one_of_the_current_token_does_not() -> None:
    # A released implementation fell back to the current token: a model that copied its input had no loss.
    windows = _windows()
    objective = Objective(lm_loss_weight=0.5)
    clm = _loss(Objective(lm_loss_weight=1.0), None, windows)
    assert _loss(objective, _rows(windows, shift=1), windows) == pytest.approx(clm, abs=1e-5)
    assert _loss(objective, _rows(windows, shift=0), windows) != pytest.approx(clm, abs=1e-2)


def test_positions_without_a_teacher_fall_back_to_the_next_token() -> None:
    windows = _windows()
    nobody = _rows(windows, shift=0, kept=False)
    clm = _loss(Objective(), None, windows)
    assert _loss(Objective(lm_loss_weight=0.3), nobody, windows) == pytest.approx(clm, abs=1e-5)


@pytest.mark.slow
def test_with_lambda_one_the_fused_target_is_the_control(tmp_path: Path) -> None:
    control, _ = _train(tmp_path / "a", None, Objective())
    fused, _ = _train(tmp_path / "b", _rows(_windows(), shift=0), Objective(lm_loss_weight=1.0))
    torch.testing.assert_close(_weights(fused), _weights(control), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_model_and_another_teacher_another(tmp_path: Path) -> None:
    objective = Objective(lm_loss_weight=0.5)
    one, _ = _train(tmp_path / "a", _rows(_windows(), shift=0), objective)
    same, _ = _train(tmp_path / "b", _rows(_windows(), shift=0), objective)
    other, _ = _train(tmp_path / "c", _rows(_windows(), shift=1), objective)
    assert torch.equal(_weights(one), _weights(same))
    assert not torch.allclose(_weights(one), _weights(other), atol=1e-3)


STEP = {"optim": "sgd", "max_steps": 1, "learning_rate": 1.0, "lr_scheduler_type": "constant"}


@pytest.mark.slow
@pytest.mark.parametrize("without_teacher", ["gold", "mask", "current"])
def test_accumulating_gradients_weighs_tokens_as_one_large_batch(
    tmp_path: Path, without_teacher: WithoutTeacher
) -> None:
    # Windows differ in length and most rows have no teacher: means of batch means would differ.
    teacher = _rows(_windows(), shift=0)
    taught = np.arange(len(teacher.kept)) % 5 == 0
    taught[40:] = False  # whole batches without any teacher
    teacher = replace(teacher, kept=taught)
    objective = Objective(lm_loss_weight=0.3, without_teacher=without_teacher)
    sizes = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1}
    large, whole = _train(tmp_path / "a", teacher, objective, **STEP, **sizes, logging_steps=1)
    sizes = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    small, parts = _train(tmp_path / "b", teacher, objective, **STEP, **sizes, logging_steps=1)
    torch.testing.assert_close(_weights(large), _weights(small), rtol=1e-4, atol=1e-5)
    for name in ("causal_lm_loss", "fusion_loss"):
        assert parts.points[0][name] == pytest.approx(whole.points[0][name], rel=1e-4)


@pytest.mark.slow
def test_checkpointing_the_layers_changes_nothing(tmp_path: Path) -> None:
    teacher, objective = _rows(_windows(), shift=0), Objective(lm_loss_weight=0.5)
    plain, _ = _train(tmp_path / "a", teacher, objective, **STEP)
    saving, _ = _train(tmp_path / "b", teacher, objective, **STEP, gradient_checkpointing=True)
    torch.testing.assert_close(_weights(saving), _weights(plain), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_training_in_bfloat16_is_the_same_within_its_precision(tmp_path: Path) -> None:
    # bfloat16 has 8 bits: losses agree to about 2^-8; steps of the weights do on the whole, not one by one.
    teacher, objective = _rows(_windows(), shift=0), Objective(lm_loss_weight=0.5)
    start = _weights(tiny_model("llama", seed=1))
    full, one = _train(tmp_path / "a", teacher, objective, **STEP, logging_steps=1)
    half, other = _train(tmp_path / "b", teacher, objective, **STEP, logging_steps=1, bf16=True)
    for name in ("loss", "causal_lm_loss", "fusion_loss"):
        assert other.points[0][name] == pytest.approx(one.points[0][name], rel=1e-2)
    a, b = _weights(full) - start, _weights(half) - start
    assert 0 < float((a - b).norm() / a.norm()) < 0.05


def test_an_annealed_weight_is_logged_and_reaches_its_end(tmp_path: Path) -> None:
    """At the first step the loss is the causal one (weight 1), at the last the fusion one (weight 0)."""
    objective = Objective(lm_loss_weight=Anneal(1.0, 0.0))
    _, result = _train(tmp_path, _rows(_windows(), shift=0), objective, max_steps=5, logging_steps=1)
    logged = [p for p in result.points if "loss" in p]
    assert [p["lm_loss_weight"] for p in logged] == pytest.approx([1.0, 0.75, 0.5, 0.25, 0.0])
    for p in logged:
        mixed = p["lm_loss_weight"] * p["causal_lm_loss"] + (1 - p["lm_loss_weight"]) * p["fusion_loss"]
        assert p["loss"] == pytest.approx(mixed, rel=1e-3)


def test_a_constant_weight_is_not_logged(tmp_path: Path) -> None:
    _, result = _train(tmp_path, _rows(_windows()), Objective(lm_loss_weight=0.5))
    assert not any("lm_loss_weight" in p for p in result.points)


def test_training_lowers_the_loss_and_logs_both_parts(tmp_path: Path) -> None:
    _, result = _train(tmp_path, _rows(_windows()), Objective(lm_loss_weight=0.5), max_steps=20)
    losses = [p for p in result.points if "loss" in p]
    assert losses[-1]["loss"] < losses[0]["loss"] - 0.5
    mixed = 0.5 * losses[0]["causal_lm_loss"] + 0.5 * losses[0]["fusion_loss"]
    assert losses[0]["loss"] == pytest.approx(mixed, rel=1e-2)


def test_logged_parts_add_up_at_a_last_step_of_fewer_batches(tmp_path: Path) -> None:
    # 16 windows in batches of 4, three to a step: the epoch's second step has one batch.
    steps = {"gradient_accumulation_steps": 3, "max_steps": -1, "num_train_epochs": 1, "logging_steps": 1}
    _, result = _train(tmp_path, _rows(_windows(), shift=0), Objective(lm_loss_weight=0.5), **steps)
    logged = [p for p in result.points if "causal_lm_loss" in p]
    assert len(logged) == 2
    for point in logged:
        mixed = 0.5 * point["causal_lm_loss"] + 0.5 * point["fusion_loss"]
        assert point["loss"] == pytest.approx(mixed, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_evaluation_loss_is_the_causal_one_alone_by_tokens(tmp_path: Path, batch_size: int) -> None:
    """Whatever the batches: a long window weighs by its tokens, one of a single token has none."""
    held_out = [*_windows(seed=9), np.arange(40, dtype=np.int32), np.array([3], np.int32)]
    model = tiny_model("llama", seed=1)
    result = train(
        model,
        _windows(),
        _rows(_windows(), shift=0),
        Objective(lm_loss_weight=0.1),
        arguments=ARGUMENTS | {"per_device_eval_batch_size": batch_size, "max_steps": 1},
        folder=tmp_path,
        pad_id=0,
        seed=7,
        evaluation=held_out,
    )
    logged = next(p["eval_loss"] for p in result.points if "eval_loss" in p)
    batch = Collator(0)([{"input_ids": w} for w in held_out])
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    clm = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten())
    assert logged == pytest.approx(float(clm), abs=1e-4)


def test_a_window_of_one_token_alone_in_a_batch_changes_nothing(tmp_path: Path) -> None:
    """Its batch has no label, so its step has loss and gradient 0."""
    model = tiny_model("llama", seed=1)
    before = _weights(model).clone()
    result = train(
        model, [np.array([3], np.int32), np.array([3, 4, 5], np.int32)], None, Objective(),
        arguments=STEP | {"per_device_train_batch_size": 1, "max_steps": 2, "logging_steps": 1},
        folder=tmp_path, pad_id=0, seed=7,
    )  # fmt: skip
    losses = [p["loss"] for p in result.points]
    assert losses.count(0.0) == 1 and max(losses) > 1
    assert not torch.equal(_weights(model), before) and _weights(model).isfinite().all()


def test_in_evaluation_mode_a_teacher_does_not_count() -> None:
    model = tiny_model("llama", seed=1)
    attach_objective(model, Objective(lm_loss_weight=0.1))
    data = WindowDataset(_windows(), _rows(_windows(), shift=0))
    with torch.no_grad():
        found = model.eval()(**Collator(0)([data[i] for i in range(len(data))])).loss
    assert float(found) == pytest.approx(_loss(Objective(), None, _windows()), abs=1e-6)


def test_tokens_are_those_that_carry_a_label_times_epochs(tmp_path: Path) -> None:
    _, result = _train(tmp_path, None, Objective(), max_steps=-1, num_train_epochs=3)
    assert result.tokens == 3 * sum(len(w) - 1 for w in _windows())


def test_a_loss_that_is_not_finite_stops_and_names_the_step(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match=r"loss became nan at step \d+") as caught:
        _train(tmp_path, None, Objective(), learning_rate=1e30, max_grad_norm=0.0)
    assert "learning_rate" in caught.value.remedy


@pytest.mark.parametrize("name", REFUSED_ARGUMENTS)
def test_settings_that_would_change_or_forget_a_trained_model_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FusionError, match=f"{name} is not supported") as caught:
        _train(tmp_path, None, Objective(), **{name: True})
    assert caught.value.remedy == f"leave {name} out"


@pytest.mark.parametrize("empty", [[], [np.array([3], np.int32)]])
@pytest.mark.parametrize("purpose", ["training", "evaluation"])
def test_windows_without_a_token_to_predict_are_refused(
    tmp_path: Path, purpose: str, empty: list[np.ndarray[Any, Any]]
) -> None:
    short = [*empty, np.zeros(1, np.int32)]
    learned, held_out = (empty, []) if purpose == "training" else (_windows(), short)
    with pytest.raises(FusionError, match=f"no window for {purpose} has two tokens"):
        train(
            tiny_model("llama"), learned, None, Objective(), arguments=ARGUMENTS, folder=tmp_path, pad_id=0,
            seed=7, evaluation=held_out,
        )  # fmt: skip


class _KilledError(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("lora", [None, {"r": 2, "target_modules": ["q_proj", "down_proj"]}])
def test_a_killed_training_goes_on_from_its_checkpoint_and_ends_the_same(
    tmp_path: Path, lora: dict[str, Any] | None
) -> None:
    saving = ARGUMENTS | {"save_strategy": "steps", "save_steps": 2}

    def kill_at_step_five(done: int, total: int) -> None:  # noqa: ARG001
        if done == 5:
            raise _KilledError

    def run(folder: Path, report: Any) -> torch.Tensor:
        model = tiny_model("llama", seed=1)
        train(
            model,
            _windows(),
            _rows(_windows(), shift=0),
            Objective(lm_loss_weight=Anneal(0.9, 0.1, "cosine")),
            arguments=saving,
            folder=folder,
            pad_id=0,
            seed=7,
            lora=lora,
            report=report,
        )
        return _weights(model)

    with pytest.raises(_KilledError):
        run(tmp_path / "killed", kill_at_step_five)
    steps: list[int] = []
    resumed = run(tmp_path / "killed", lambda done, total: steps.append(done))
    assert steps == [5, 6]
    torch.testing.assert_close(resumed, run(tmp_path / "whole", lambda done, total: None))


@pytest.mark.slow
def test_a_checkpoint_that_a_kill_left_unfinished_is_passed_over(tmp_path: Path) -> None:
    saving = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4}
    _train(tmp_path, None, Objective(), **saving)
    (tmp_path / "checkpoint-6").mkdir()
    (tmp_path / "checkpoint-6" / "model.safetensors").touch()
    _, result = _train(tmp_path, None, Objective(), **saving | {"max_steps": 6})
    assert result.steps == 6


def test_several_processes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(FusionError, match="several processes"):
        _train(tmp_path, None, Objective())
