"""The stages `training`: the target is trained on the fused rows (fused), or on the text alone (control)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.data.model_files import model_facts
from harness.pipeline.stage import Context, Folder
from harness.pipeline.steps.fused_rows import read_fused_rows
from harness.pipeline.steps.write_windows import WindowText, encode_windows, read_windows
from harness.pipeline.store import Draft

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusion.method import Method


def train_target(
    draft: Draft,
    context: Context,
    *,
    target: Folder,
    bos: bool | None,
    method: "Method | None",
    training: Mapping[str, Any],
    lora: Mapping[str, Any] | None,
    seed: int,
    device: str,
) -> None:
    """Train the target with the fused rows; without a `method`, on the text alone: the CLM control."""
    from fusion.models import load_model, load_tokenizer, pick_device, save_model
    from fusion.training import Objective, train

    folder = target(context)
    tokenizer = load_tokenizer(folder)
    model = load_model(folder, dtype="float32", device=pick_device(device))
    teacher = read_fused_rows(context.folder("fusion")) if method else None
    result = train(
        model,
        _token_ids(folder, read_windows(context), bos),
        teacher,
        Objective.of(method) if method else Objective(),
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


def _token_ids(folder: Path, windows: Sequence[WindowText], bos: bool | None) -> "list[NDArray[np.int32]]":
    return [e.input_ids for e in encode_windows(folder, windows, bos)[0]]
