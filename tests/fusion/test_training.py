"""Control and fused go through the same loop; the loss weighs tokens rightly; failures say what to do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fusion.errors import FusionError
from fusion.training import (
    Collator,
    Objective,
    TeacherRows,
    TrainingResult,
    WindowDataset,
    attach_objective,
    train,
)
from tests.fusion.tiny import VOCABULARY, tiny_model

ARGUMENTS = {"per_device_train_batch_size": 4, "learning_rate": 1e-2, "max_steps": 6, "logging_steps": 2}


def _windows(seed: int = 0, count: int = 16) -> list[np.ndarray[Any, Any]]:
    draw = np.random.default_rng(seed)
    return [draw.integers(0, VOCABULARY, draw.integers(3, 12)).astype(np.int32) for _ in range(count)]


def _rows(windows: list[np.ndarray[Any, Any]], shift: int = 1, kept: bool = True) -> TeacherRows:
    """A teacher that is sure of the token `shift` places on (1: the next token, 0: the current one)."""
    offsets = np.concatenate([[0], np.cumsum([len(w) - 1 for w in windows])]).astype(np.int64)
    ids = np.concatenate([w[shift : shift + len(w) - 1] for w in windows]).astype(np.int32)[:, None]
    n = len(ids)
    return TeacherRows(offsets, ids, np.ones((n, 1), np.float32), np.zeros(n, np.float32), np.full(n, kept))


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


def _weights(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


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


def test_with_lambda_one_the_fused_target_is_the_control(tmp_path: Path) -> None:
    control, _ = _train(tmp_path / "a", None, Objective())
    fused, _ = _train(tmp_path / "b", _rows(_windows(), shift=0), Objective(lm_loss_weight=1.0))
    torch.testing.assert_close(_weights(fused), _weights(control), rtol=1e-4, atol=1e-5)


def test_the_same_seed_gives_the_same_model_and_another_teacher_another(tmp_path: Path) -> None:
    objective = Objective(lm_loss_weight=0.5)
    one, _ = _train(tmp_path / "a", _rows(_windows(), shift=0), objective)
    same, _ = _train(tmp_path / "b", _rows(_windows(), shift=0), objective)
    other, _ = _train(tmp_path / "c", _rows(_windows(), shift=1), objective)
    assert torch.equal(_weights(one), _weights(same))
    assert not torch.allclose(_weights(one), _weights(other), atol=1e-3)


def test_accumulating_gradients_weighs_tokens_as_one_large_batch(tmp_path: Path) -> None:
    # Windows differ in length: a mean of micro-batch means would differ from the mean over tokens.
    sgd = {"optim": "sgd", "max_steps": 1, "learning_rate": 1.0, "lr_scheduler_type": "constant"}
    teacher, objective = _rows(_windows(), shift=0), Objective(lm_loss_weight=0.5)
    large, _ = _train(tmp_path / "a", teacher, objective, per_device_train_batch_size=8, **sgd)
    small, _ = _train(
        tmp_path / "b",
        teacher,
        objective,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=4,
        **sgd,
    )
    torch.testing.assert_close(_weights(large), _weights(small), rtol=1e-4, atol=1e-5)


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


def test_the_evaluation_loss_is_the_causal_one_alone(tmp_path: Path) -> None:
    held_out = _windows(seed=9)
    model = tiny_model("llama", seed=1)
    result = train(
        model,
        _windows(),
        _rows(_windows(), shift=0),
        Objective(lm_loss_weight=0.1),
        # the Trainer averages batches, not tokens: one batch makes the two the same
        arguments=ARGUMENTS | {"per_device_eval_batch_size": 64},
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


def test_tokens_are_those_that_carry_a_label_times_epochs(tmp_path: Path) -> None:
    _, result = _train(tmp_path, None, Objective(), max_steps=-1, num_train_epochs=3)
    assert result.tokens == 3 * sum(len(w) - 1 for w in _windows())


def test_a_loss_that_is_not_finite_stops_and_names_the_step(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match=r"loss became nan at step \d+") as caught:
        _train(tmp_path, None, Objective(), learning_rate=1e30, max_grad_norm=0.0)
    assert "learning_rate" in caught.value.remedy


class _KilledError(Exception):
    pass


def test_a_killed_training_goes_on_from_its_checkpoint_and_ends_the_same(tmp_path: Path) -> None:
    saving = ARGUMENTS | {"save_strategy": "steps", "save_steps": 2}

    def kill_at_step_five(done: int, total: int) -> None:  # noqa: ARG001
        if done == 5:
            raise _KilledError

    def run(folder: Path, report: Any) -> torch.Tensor:
        model = tiny_model("llama", seed=1)
        train(
            model,
            _windows(),
            None,
            Objective(),
            arguments=saving,
            folder=folder,
            pad_id=0,
            seed=7,
            report=report,
        )
        return _weights(model)

    with pytest.raises(_KilledError):
        run(tmp_path / "killed", kill_at_step_five)
    steps: list[int] = []
    resumed = run(tmp_path / "killed", lambda done, total: steps.append(done))
    assert steps == [5, 6]
    torch.testing.assert_close(resumed, run(tmp_path / "whole", lambda done, total: None))


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


def test_rows_of_other_windows_are_refused() -> None:
    with pytest.raises(FusionError, match="do not belong to these windows"):
        WindowDataset(_windows(seed=0), _rows(_windows(seed=3)))
