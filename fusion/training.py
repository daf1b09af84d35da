"""Training the target (paper section 3.1, equation 5): HF Trainer has the loop, this module data and loss.

Control and fused go through the same code and, with the same seed, the same batches in the same order; the
control simply has no teacher.
"""

import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.utils import ModelOutput

from fusion.decoder import split_model
from fusion.errors import FusionError
from fusion.objective import SparseTeacher, fusion_loss

IGNORED = -100


@dataclass(frozen=True)
class Objective:
    """The loss: lambda x causal LM + (1 - lambda) x fusion. See fusion.objective for each choice."""

    lm_loss_weight: float = 0.9
    temperature: float = 1.0
    loss: Literal["ce", "kl"] = "ce"
    leftover: Literal["residual", "renormalise"] = "residual"
    without_teacher: Literal["gold", "mask"] = "gold"
    chunk: int = 1024


@dataclass(frozen=True)
class TeacherRows:
    """Fused distributions of all windows, end to end; row t of a window predicts its input_ids[t + 1].

    offsets int64 [W + 1]; ids int32 [R, K] (-1 = none); probabilities [R, K]; leftover [R]; kept bool [R].
    """

    offsets: NDArray[np.int64]
    ids: NDArray[np.int32]
    probabilities: NDArray[np.floating[Any]]
    leftover: NDArray[np.floating[Any]]
    kept: NDArray[np.bool_]


@dataclass(frozen=True)
class TrainingResult:
    """What was trained on (tokens that carried a label, over all epochs) and what the Trainer logged."""

    tokens: int
    steps: int
    points: tuple[dict[str, float], ...] = field(repr=False)


class WindowDataset(Dataset[dict[str, NDArray[Any]]]):
    """Windows of the target's token ids with, if there is a teacher, the rows that belong to them."""

    def __init__(self, windows: Sequence[NDArray[np.int32]], teacher: TeacherRows | None) -> None:
        self.windows, self.teacher = windows, teacher
        if teacher is not None:
            _check_rows(windows, teacher.offsets)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, NDArray[Any]]:
        item: dict[str, NDArray[Any]] = {"input_ids": self.windows[index]}
        if self.teacher is not None:
            rows = slice(*self.teacher.offsets[index : index + 2])
            item["teacher_ids"] = self.teacher.ids[rows]
            item["teacher_probabilities"] = self.teacher.probabilities[rows]
            item["teacher_leftover"] = self.teacher.leftover[rows]
            item["teacher_kept"] = self.teacher.kept[rows]
        return item


def _check_rows(windows: Sequence[NDArray[np.int32]], offsets: NDArray[np.int64]) -> None:
    expected = np.array([max(len(w) - 1, 0) for w in windows])
    if len(offsets) != len(windows) + 1 or not np.array_equal(np.diff(offsets), expected):
        raise FusionError(
            "the teacher's rows do not belong to these windows: a window of S tokens needs S - 1 rows",
            remedy="compute the fused distributions again from the same windows and target tokenizer",
        )


@dataclass(frozen=True)
class Collator:
    """Pads a batch on the right. Labels are shifted: labels[t] = input_ids[t + 1], none at the last."""

    pad_id: int

    def __call__(self, features: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, Tensor]:
        length = max(len(f["input_ids"]) for f in features)
        ids = _padded([f["input_ids"] for f in features], length, self.pad_id, np.int64)
        mask = _padded([np.ones(len(f["input_ids"])) for f in features], length, 0, np.int64)
        labels = _padded([f["input_ids"][1:] for f in features], length, IGNORED, np.int64)
        batch = {"input_ids": ids, "attention_mask": mask, "labels": labels, "shift_labels": labels}
        if "teacher_ids" in features[0]:
            fills: dict[str, tuple[float, Any]] = {"ids": (-1, np.int64), "probabilities": (0, np.float32)}
            fills |= {"leftover": (0, np.float32), "kept": (0, np.bool_)}
            for name, (fill, kind) in fills.items():
                rows = [f[f"teacher_{name}"] for f in features]
                batch[f"teacher_{name}"] = _padded(rows, length, fill, kind)
        return batch


def _padded(arrays: Sequence[NDArray[Any]], length: int, fill: float, kind: Any) -> Tensor:
    out = np.full((len(arrays), length, *arrays[0].shape[1:]), fill, dtype=kind)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(out)


@dataclass
class FusionOutput(ModelOutput):  # type: ignore[misc]
    """What forward returns in training: the mixed loss and its two parts, scalars in nats."""

    loss: Tensor | None = None
    causal_lm: Tensor | None = None
    fusion: Tensor | None = None


def attach_objective(model: Any, objective: Objective) -> None:
    """Make the model's forward return the fusion loss.

    The loss is computed inside forward, not around it, so that wrappers of a model (DDP, FSDP) see every use
    of the parameters. In evaluation mode it is the causal LM loss alone: one that mixes in the teacher cannot
    be compared between control and fused.
    """
    decoder = split_model(model)

    def forward(
        input_ids: Tensor,
        attention_mask: Tensor,
        shift_labels: Tensor,
        labels: Tensor | None = None,  # noqa: ARG001  (the Trainer looks for the name)
        num_items_in_batch: Tensor | None = None,
        **teacher: Tensor,
    ) -> FusionOutput:
        hidden = decoder.hidden(input_ids, attention_mask)
        parts = fusion_loss(
            hidden.flatten(0, 1),
            decoder.logits,
            shift_labels.flatten(),
            _sparse_teacher(teacher) if model.training else None,
            lm_loss_weight=objective.lm_loss_weight,
            temperature=objective.temperature,
            loss=objective.loss,
            leftover=objective.leftover,
            without_teacher=objective.without_teacher,
            chunk=objective.chunk,
            denominator=num_items_in_batch,
        )
        return FusionOutput(parts.total, parts.causal_lm.detach(), parts.fusion.detach())

    model.forward = forward


def _sparse_teacher(rows: Mapping[str, Tensor]) -> SparseTeacher | None:
    if "teacher_ids" not in rows:
        return None
    return SparseTeacher(
        ids=rows["teacher_ids"].flatten(0, 1),
        probabilities=rows["teacher_probabilities"].flatten(0, 1),
        leftover=rows["teacher_leftover"].flatten(),
        kept=rows["teacher_kept"].flatten(),
    )


class FusionTrainer(Trainer):  # type: ignore[misc]
    """The HF Trainer with the fusion loss; logs its parts and stops at the first loss that is not finite."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = True  # the loss is divided by the tokens of the whole step
        self._parts: dict[str, list[float]] = {"causal_lm_loss": [], "fusion_loss": []}
        self._logged_step: int | None = None  # where a resumed training starts is known at its first batch

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        output: FusionOutput = model(**inputs, num_items_in_batch=num_items_in_batch)
        loss = output.loss
        assert loss is not None and output.causal_lm is not None and output.fusion is not None
        if not torch.isfinite(loss):
            raise FusionError(
                f"the training loss became {loss.item()} at step {self.state.global_step + 1}",
                remedy="lower training.learning_rate, set training.max_grad_norm, or train in float32",
            )
        if model.training:
            if self._logged_step is None:
                self._logged_step = self.state.global_step
            self._parts["causal_lm_loss"].append(float(output.causal_lm))
            self._parts["fusion_loss"].append(float(output.fusion))
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes
        return (loss, output) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs:
            # each micro-batch holds its share of its step's mean, so sums over steps are what to average; a
            # run's last step may have fewer micro-batches than the others
            steps = max(self.state.global_step - (self._logged_step or 0), 1)
            self._logged_step = self.state.global_step
            for name, values in self._parts.items():
                if values:
                    logs[name] = sum(values) / steps
                values.clear()
        super().log(logs, *args, **kwargs)


class _Progress(TrainerCallback):  # type: ignore[misc]
    def __init__(self, report: Callable[[int, int], None]) -> None:
        self.report = report

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self.report(state.global_step, state.max_steps)


def training_arguments(arguments: Mapping[str, Any], folder: Path, seed: int) -> TrainingArguments:
    """HF TrainingArguments from a suite's own, plus what this project fixes (MLflow is synced afterwards)."""
    defaults: dict[str, Any] = {"save_strategy": "no", "logging_steps": 10, "disable_tqdm": True}
    fixed: dict[str, Any] = {
        "output_dir": str(folder),
        "report_to": "none",
        "remove_unused_columns": False,
        "label_names": ["labels"],
        "prediction_loss_only": True,
        "logging_nan_inf_filter": False,
        "seed": seed,
        "data_seed": seed,
    }
    if not torch.cuda.is_available():
        fixed["dataloader_pin_memory"] = False
    settings = TrainingArguments(**{**defaults, **arguments, **fixed})
    if settings.n_gpu > 1:
        settings._n_gpu = 1  # DataParallel's replicas would call the original model's forward
    return settings


def train(
    model: Any,
    windows: Sequence[NDArray[np.int32]],
    teacher: TeacherRows | None,
    objective: Objective,
    *,
    arguments: Mapping[str, Any],
    folder: Path,
    pad_id: int,
    seed: int,
    evaluation: Sequence[NDArray[np.int32]] = (),
    report: Callable[[int, int], None] = lambda done, total: None,
) -> TrainingResult:
    """Train `model` in place. `folder` keeps the Trainer's checkpoints; it goes on from the last one there.

    Without a teacher this is causal LM training (the control). Raises FusionError on a loss that is not
    finite.
    """
    _refuse_several_processes()
    settings = training_arguments(arguments, folder, seed)
    original_forward = model.forward
    attach_objective(model, objective)
    trainer = FusionTrainer(
        model=model,
        args=settings,
        train_dataset=WindowDataset(windows, teacher),
        eval_dataset=WindowDataset(evaluation, None) if len(evaluation) else None,
        data_collator=Collator(pad_id),
        callbacks=[_Progress(report)],
    )
    _remove_console_output(trainer)
    try:
        trainer.train(resume_from_checkpoint=_last_whole_checkpoint(folder))
        if len(evaluation):
            trainer.evaluate()
    finally:
        model.forward = original_forward
    labels = sum(len(w) - 1 for w in windows)
    epochs = trainer.state.epoch or 0.0
    points = tuple(_finite(p) for p in trainer.state.log_history if "loss" in p or "eval_loss" in p)
    return TrainingResult(round(labels * epochs), trainer.state.global_step, points)


def _last_whole_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end; the Trainer writes its state last.

    A later one that a kill left unfinished is removed, or the Trainer would count it among those to keep.
    """
    steps = {int(p.name.split("-")[1]): p for p in folder.glob("checkpoint-*")}
    for step in sorted(steps, reverse=True):
        if (steps[step] / "trainer_state.json").is_file():
            return str(steps[step])
        shutil.rmtree(steps[step])
    return None


def _refuse_several_processes() -> None:
    """One process and one device per training, until the stages around it know of more."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise FusionError(
            "training was started in several processes (WORLD_SIZE > 1), which is not supported yet",
            remedy="run the suite in one process, without torchrun or accelerate launch",
        )


def _remove_console_output(trainer: Trainer) -> None:
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)


def _finite(point: Mapping[str, Any]) -> dict[str, float]:
    return {k: float(v) for k, v in point.items() if isinstance(v, int | float) and math.isfinite(v)}
