"""Training of the target with the fusion loss (paper section 3.1, equation 5) in the Hugging Face Trainer.

Control and fused are trained by the same code and, with the same seed, on the same batches in the same order;
the control has no teacher.
"""

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.utils import ModelOutput

from fusion.batches import Collator, WindowDataset, Windows, sparse_teacher, tokens_read
from fusion.choices import Leftover, Loss, WithoutTeacher
from fusion.decoder import split_model
from fusion.errors import FusionError
from fusion.hf_settings import REFUSED_ARGUMENTS
from fusion.lora import with_adapters
from fusion.method import DEFAULTS, METHOD_HINTS, Method
from fusion.objective import IGNORED, check_choices, fusion_loss, fusion_rows
from fusion.progress import OnProgress
from fusion.schedule import Anneal, weight_at
from fusion.teacher_rows import TeacherRows

__all__ = ["Anneal", "Objective", "TeacherRows", "TrainingResult", "attach_objective", "train"]


@dataclass(frozen=True)
class Objective:
    """The loss: lambda x causal LM + (1 - lambda) x fusion. `fusion.objective` explains each choice."""

    lm_loss_weight: float | Anneal = DEFAULTS.lm_loss_weight
    temperature: float = DEFAULTS.temperature
    loss: Loss = DEFAULTS.loss
    leftover: Leftover = DEFAULTS.leftover
    without_teacher: WithoutTeacher = DEFAULTS.without_teacher
    chunk: int | None = None

    def __post_init__(self) -> None:
        check_choices(lm_loss_weight=weight_at(self.lm_loss_weight, 0, 1), **self.choices())

    @classmethod
    def of(cls, method: Method) -> Self:
        """The method's loss; the weight is annealed if the method has an end value for it."""
        start, end = method.lm_loss_weight, method.lm_loss_weight_end
        weight = start if end is None else Anneal(start, end, method.lm_loss_weight_schedule)
        shared = {f.name for f in fields(cls)} & METHOD_HINTS.keys() - {"lm_loss_weight"}
        return cls(lm_loss_weight=weight, **{name: getattr(method, name) for name in shared})

    def choices(self) -> dict[str, Any]:
        """Keyword arguments of `fusion_loss`, without the weight, which may change from step to step."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "lm_loss_weight"}


@dataclass(frozen=True)
class TrainingResult:
    """Number of tokens with a label over all epochs, number of steps, and what the Trainer logged."""

    tokens: int
    steps: int
    points: tuple[dict[str, float], ...] = field(repr=False)


@dataclass
class FusionOutput(ModelOutput):  # type: ignore[misc]
    """What forward returns: the combined loss and its two parts, scalars in nats."""

    loss: Tensor | None = None
    causal_lm: Tensor | None = None
    fusion: Tensor | None = None


def attach_objective(model: Any, objective: Objective) -> None:
    """Replace the forward of a model (which peft may have wrapped) by one that returns the fusion loss.

    The loss is computed inside forward, so that wrappers of the model (DDP, FSDP) see every use of the
    parameters. In evaluation mode it is the causal LM loss alone, since a loss that includes the teacher
    cannot be compared between control and fused.
    """
    decoder = split_model(model)

    def forward(
        input_ids: Tensor,
        attention_mask: Tensor,
        shift_labels: Tensor,
        labels: Tensor | None = None,  # noqa: ARG001  (the Trainer looks for the name)
        num_items_in_batch: Tensor | None = None,
        fusion_items_in_batch: Tensor | None = None,
        lm_loss_weight: float | None = None,
        **teacher: Tensor,
    ) -> FusionOutput:
        hidden = decoder.hidden(input_ids, attention_mask)
        start = weight_at(objective.lm_loss_weight, 0, 1)
        parts = fusion_loss(
            hidden.flatten(0, 1),
            decoder.head,
            shift_labels.flatten(),
            sparse_teacher(teacher) if model.training else None,
            lm_loss_weight=start if lm_loss_weight is None else lm_loss_weight,
            current=tokens_read({"input_ids": input_ids, "attention_mask": attention_mask}),
            denominator=num_items_in_batch,
            fusion_denominator=fusion_items_in_batch,
            **objective.choices(),
        )
        return FusionOutput(parts.total, parts.causal_lm.detach(), parts.fusion.detach())

    model.forward = forward


def fusion_items(batches: Sequence[Mapping[str, Tensor]], objective: Objective) -> Tensor | None:
    """Number of positions of all `batches` that count in the fusion part, at least 1.

    None if the number of labels is used instead: under "gold", and without a teacher.
    """
    if objective.without_teacher == "gold":
        return None
    teachers = [sparse_teacher(batch) for batch in batches]
    counts = [
        fusion_rows(
            batch["shift_labels"].flatten(), teacher, tokens_read(batch), objective.without_teacher
        ).sum()
        for batch, teacher in zip(batches, teachers, strict=True)
        if teacher is not None
    ]
    return torch.stack(counts).sum().clamp(min=1) if counts else None


class FusionTrainer(Trainer):  # type: ignore[misc]
    """The Hugging Face Trainer with the fusion loss; logs its parts and stops if it is not finite."""

    def __init__(self, objective: Objective, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.objective = objective
        self._fusion_items: Tensor | None = None  # of the whole optimiser step, over all its batches
        self.model_accepts_loss_kwargs = True  # the loss is divided by the whole step's tokens
        self._parts: dict[str, list[float]] = {"causal_lm_loss": [], "fusion_loss": []}
        self._logged_step: int | None = None  # set at the first batch: a resumed training does not start at 0
        self._held_out = (0.0, 0.0)  # nats and tokens of the evaluation so far

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[Any], Any]:
        batches, items = super().get_batch_samples(*args, **kwargs)
        self._fusion_items = fusion_items(batches, self.objective)
        return batches, items

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> Any:
        """As the Trainer's, but with the loss as a mean over tokens, not over batches."""
        self._held_out = (0.0, 0.0)
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        nats, tokens = self._held_out
        output.metrics[f"{metric_key_prefix}_loss"] = nats / max(tokens, 1.0)
        return output

    def lm_loss_weight(self, step: int) -> float:
        return weight_at(self.objective.lm_loss_weight, step, self.state.max_steps)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        extra: dict[str, Any] = {}
        if model.training:
            extra["lm_loss_weight"] = self.lm_loss_weight(self.state.global_step)
            if self._fusion_items is not None:
                extra["fusion_items_in_batch"] = self._fusion_items.to(self.args.device)
        output: FusionOutput = model(**inputs, num_items_in_batch=num_items_in_batch, **extra)
        loss = output.loss
        assert loss is not None and output.causal_lm is not None and output.fusion is not None
        if not torch.isfinite(loss):
            kind = "training" if model.training else "evaluation"
            raise FusionError(
                f"the {kind} loss became {loss.item()} at step {self.state.global_step + 1}",
                remedy="lower training.learning_rate, set training.max_grad_norm, or train in float32",
            )
        if model.training:
            if self._logged_step is None:
                self._logged_step = self.state.global_step
            self._parts["causal_lm_loss"].append(float(output.causal_lm))
            self._parts["fusion_loss"].append(float(output.fusion))
        else:
            tokens = float((inputs["shift_labels"] != IGNORED).sum())
            nats = float(loss) * max(tokens, 1.0)  # undo the division of the batch's sum
            self._held_out = (self._held_out[0] + nats, self._held_out[1] + tokens)
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes
        return (loss, output) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs:
            # each micro-batch has its share of the step's mean, so sum over micro-batches and average over
            # steps; the last step may have fewer micro-batches than the others
            steps = max(self.state.global_step - (self._logged_step or 0), 1)
            self._logged_step = self.state.global_step
            for name, values in self._parts.items():
                if values:
                    logs[name] = sum(values) / steps
                values.clear()
            if isinstance(self.objective.lm_loss_weight, Anneal):
                logs["lm_loss_weight"] = self.lm_loss_weight(max(self.state.global_step - 1, 0))
        super().log(logs, *args, **kwargs)


class _Progress(TrainerCallback):  # type: ignore[misc]
    def __init__(self, report: OnProgress) -> None:
        self.report = report

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self.report(state.global_step, state.max_steps)


def training_arguments(arguments: Mapping[str, Any], folder: Path, seed: int) -> TrainingArguments:
    """TrainingArguments from those of a suite plus those that are fixed here (MLflow is synced afterwards).

    Raises FusionError for arguments that would change the saved model or break resuming a killed training.
    """
    for name, reason in REFUSED_ARGUMENTS.items():
        if arguments.get(name):
            raise FusionError(f"{name} is not supported: {reason}", remedy=f"leave {name} out")
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
        defaults["use_cpu"] = not torch.backends.mps.is_available()  # the Trainer's bf16 on CPU asks for it
    settings = TrainingArguments(**{**defaults, **arguments, **fixed})
    if settings.n_gpu > 1:
        settings._n_gpu = 1  # DataParallel's replicas would call the original model's forward
    return settings


def train(
    model: Any,
    windows: Windows,
    teacher: TeacherRows | None,
    objective: Objective,
    *,
    arguments: Mapping[str, Any],
    folder: Path,
    pad_id: int,
    seed: int,
    lora: Mapping[str, Any] | None = None,
    evaluation: Windows = (),
    report: OnProgress = lambda done, total: None,
) -> TrainingResult:
    """Train `model` in place, resuming from the last of the Trainer's checkpoints in `folder`.

    Without a teacher this is causal LM training (the control). With `lora` (names of peft's LoraConfig) only
    adapters are trained, and merged into the model at the end. `evaluation` windows give eval_loss, nats per
    token. Raises FusionError if the loss is not finite, or if windows have no token to predict.
    """
    _refuse_several_processes()
    _refuse_nothing(windows, "training")
    if len(evaluation):
        _refuse_nothing(evaluation, "evaluation")
    settings = training_arguments(arguments, folder, seed)
    wrapping = nullcontext(model) if lora is None else with_adapters(model, lora, seed)
    with wrapping as trained:
        original_forward = trained.forward
        attach_objective(trained, objective)
        trainer = FusionTrainer(
            objective,
            model=trained,
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
            trained.forward = original_forward
    return _result(trainer.state, windows)


def _result(state: Any, windows: Windows) -> TrainingResult:
    labels = sum(len(w) - 1 for w in windows)
    points = tuple(_finite(p) for p in state.log_history if "loss" in p or "eval_loss" in p)
    return TrainingResult(round(labels * (state.epoch or 0.0)), state.global_step, points)


def _last_whole_checkpoint(folder: Path) -> str | None:
    """The newest complete checkpoint: one with the Trainer's state, which is written last.

    Removes newer ones that are incomplete, which the Trainer would count among those to keep.
    """
    steps = {int(p.name.split("-")[1]): p for p in folder.glob("checkpoint-*")}
    for step in sorted(steps, reverse=True):
        if (steps[step] / "trainer_state.json").is_file():
            return str(steps[step])
        shutil.rmtree(steps[step])
    return None


def _refuse_nothing(windows: Windows, purpose: str) -> None:
    if not any(len(w) > 1 for w in windows):
        raise FusionError(
            f"no window for {purpose} has two tokens (of {len(windows)}), so there is nothing to predict",
            remedy="give more or longer texts",
        )


def _refuse_several_processes() -> None:
    """Raise FusionError if several processes run: stages support one process and one device per training."""
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
