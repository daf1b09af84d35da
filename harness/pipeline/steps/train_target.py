"""The bodies of the training stages: the target learns from the fused rows, or from the text alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.data.model_files import model_facts
from harness.pipeline.stage import Context, Folder
from harness.pipeline.steps.fused_rows import read_teacher
from harness.pipeline.steps.write_windows import WindowText, encode_windows, read_windows
from harness.pipeline.store import Draft

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusion.training import Objective

_ANNEALED = ("lm_loss_weight_end", "lm_loss_weight_schedule")


def train_target(
    draft: Draft,
    context: Context,
    *,
    target: Folder,
    bos: bool | None,
    objective: Mapping[str, Any],
    training: Mapping[str, Any],
    lora: Mapping[str, Any] | None,
    seed: int,
    device: str,
) -> None:
    """Train the target: with the fused distributions if they are an input, else as the CLM control."""
    from fusion.models import load_model, load_tokenizer, pick_device, save_model
    from fusion.training import train

    folder = target(context)
    tokenizer = load_tokenizer(folder)
    model = load_model(folder, dtype="float32", device=pick_device(device))
    teacher = read_teacher(context.folder("fusion")) if "fusion" in context.inputs else None
    result = train(
        model,
        _token_ids(folder, read_windows(context), bos),
        teacher,
        _objective(objective),
        arguments=training,
        folder=draft.scratch,
        pad_id=tokenizer.pad_token_id or 0,
        seed=seed,
        lora=lora,
        evaluation=_token_ids(folder, read_windows(context, held_out=True), bos),
        report=lambda done, total: context.report("steps", done, total),
    )
    save_model(model, tokenizer, draft.folder / "model")
    draft.facts |= {"tokens": result.tokens, "steps": result.steps, "points": list(result.points)}
    draft.facts |= model_facts(draft.folder / "model")


def _objective(choices: Mapping[str, Any]) -> "Objective":
    """The suite's choices; a weight with an end is annealed to it."""
    from fusion.training import Anneal, Objective

    plain = {k: v for k, v in choices.items() if k not in _ANNEALED}
    end = choices.get("lm_loss_weight_end")
    if end is not None:
        schedule = choices["lm_loss_weight_schedule"]
        plain["lm_loss_weight"] = Anneal(choices["lm_loss_weight"], end, schedule)
    return Objective(**plain)


def _token_ids(folder: Path, windows: Sequence[WindowText], bos: bool | None) -> "list[NDArray[np.int32]]":
    return [e.input_ids for e in encode_windows(folder, windows, bos)[0]]
