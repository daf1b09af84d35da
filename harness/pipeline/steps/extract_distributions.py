"""The stage `distributions`: a model's next-token distributions over the training windows."""

import re
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.pipeline.stage import Context, Folder
from harness.pipeline.steps.write_windows import WindowText, encode_windows, read_tokenizer, read_windows
from harness.pipeline.store import Draft

if TYPE_CHECKING:
    from fusion.errors import FusionError
    from fusion.shards import DistributionStore


def extract_distributions(
    draft: Draft,
    context: Context,
    *,
    model: Folder,
    name: str,
    top_k: int,
    batch_tokens: int,
    dtype: str,
    bos: bool | None,
    device: str,
) -> None:
    """Write a model's distribution at every position of every training window.

    Shards of a killed attempt are kept.
    """
    from fusion.errors import FusionError
    from fusion.extraction import extract_to
    from fusion.models import load_model, pick_device

    folder, windows = model(context), read_windows(context)
    encodings, closed = encode_windows(folder, windows, bos)
    network = load_model(folder, dtype=dtype, device=pick_device(device))
    try:
        store = extract_to(
            draft.scratch / "distributions",
            network,
            encodings,
            closed,
            k=top_k,
            batch_tokens=batch_tokens,
            report=lambda done, total: context.report(f"{name} reads windows", done, total),
        )
    except FusionError as error:
        raise _with_document(error, windows, dtype) from error
    unknown = read_tokenizer(folder)[1].roles.get("unk")
    draft.facts |= _distribution_facts(store, unknown)
    shutil.move(store.folder, draft.folder / "distributions")


def _with_document(error: "FusionError", windows: Sequence[WindowText], dtype: str) -> "FusionError":
    """The error with what `fusion` does not know: the window's document and the suite's key to change."""
    from fusion.errors import FusionError

    named = re.findall(r"\bwindow (\d+)\b", error.message)
    if not named or int(named[-1]) >= len(windows):
        return error
    window, remedy = windows[int(named[-1])], error.remedy
    if "not finite" in error.message:
        wider = "" if dtype == "float32" else f"set fusion.dtype to float32 (it is {dtype}), or "
        remedy = f"{wider}check the model's weights and what is special about this document"
    place = f"window {named[-1]} is in document {window.document} of the corpus, part {window.part!r}"
    return FusionError(f"{error.message}; {place}", remedy=remedy)


def _distribution_facts(store: "DistributionStore", unknown: int | None) -> dict[str, Any]:
    from fusion.distributions import window_nll

    nll, read, tokens, leftover = 0.0, 0, 0, 0.0
    for start, stop in store.blocks():
        block = store.block(start, stop)
        scores = window_nll(block, unknown=unknown)
        nll += float(scores.nll.sum())
        read += int(scores.bytes.sum())
        tokens += int(scores.tokens.sum())
        leftover += float(block.leftover.sum(dtype=np.float64))
    return {
        "tokens": int(store.token_offsets[-1]),
        "unknown_token": unknown,
        "bits_per_byte": nll / np.log(2) / max(read, 1),
        "cross_entropy": nll / max(tokens, 1),
        "top_k_mass": 1 - leftover / max(store.rows_count, 1),
        "bytes_per_token": store.bytes_on_disk / max(int(store.token_offsets[-1]), 1),
    }


def open_distributions(context: Context, model: str) -> "DistributionStore":
    """The distributions that this stage has stored for a model."""
    from fusion.shards import DistributionStore

    return DistributionStore.load(context.folder(f"distributions:{model}") / "distributions")
