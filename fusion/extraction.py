"""Read windows with a model and keep its next-token distributions.

    W   windows        S   tokens of a window        B x L   a padded batch        V   vocabulary

Windows of similar length share a batch, so little is padded; the head and the top-k run on a chunk of real
positions at a time, so [positions, V] is never held for a whole batch.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusion.decoder import Decoder, split_model
from fusion.distributions import Distributions, TopK, top_k
from fusion.errors import FusionError
from fusion.tokens import Encoding

_CHUNK_LOGITS = 1 << 25  # logits held at a time: 128 MiB in float32


def extract(
    model: Any,
    encodings: Sequence[Encoding],
    closed: Sequence[bool],
    *,
    k: int,
    batch_tokens: int = 4096,
    folder: Path | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Distributions:
    """The model's distributions over all windows, in their order; written to `folder` if one is given.

    `closed[w]` says that window w ends with eos. Raises FusionError naming the window whose logits are not
    finite, and for k larger than the vocabulary.
    """
    model.eval()
    decoder = split_model(model)
    width = model.get_output_embeddings().weight.shape[0]
    out = Distributions.create(encodings, closed, k=k, vocabulary_size=width, folder=folder)
    done = 0
    for batch in length_batches([len(e.input_ids) for e in encodings], batch_tokens):
        _extract_batch(decoder, encodings, batch, k, max(_CHUNK_LOGITS // width, 1), out)
        done += len(batch)
        report(done, len(encodings))
    out.flush()
    return out


def length_batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices in batches of at most `batch_tokens` padded tokens (one window at least), longest first.

    Longest first: the batch that needs most memory fails at the start, not after an hour.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batch and lengths[batch[0]] * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


@torch.inference_mode()
def _extract_batch(
    decoder: Decoder, encodings: Sequence[Encoding], batch: list[int], k: int, chunk: int, out: Distributions
) -> None:
    device = decoder.model.get_input_embeddings().weight.device
    ids, mask = _padded([encodings[i].input_ids for i in batch])
    hidden = decoder.hidden(ids.to(device), mask.to(device))
    for row, index in enumerate(batch):
        length = len(encodings[index].input_ids)
        if length > 1:
            out.put(
                index, _window_top_k(decoder, hidden[row, : length - 1], ids[row, 1:length], k, chunk, index)
            )


def _window_top_k(decoder: Decoder, hidden: Tensor, gold: Tensor, k: int, chunk: int, window: int) -> TopK:
    pieces = []
    for start in range(0, len(hidden), chunk):
        part = slice(start, start + chunk)
        try:
            pieces.append(top_k(decoder.logits(hidden[part]), gold[part].to(hidden.device), k))
        except FusionError as error:
            name = decoder.model.config.name_or_path or decoder.model.config.model_type
            raise FusionError(f"{name}, window {window}: {error.message}", remedy=error.remedy) from error
    return TopK(*(np.concatenate(field) for field in zip(*pieces, strict=True)))


def _padded(sequences: Sequence[NDArray[np.int32]]) -> tuple[Tensor, Tensor]:
    """Token ids and mask, both int64 [B, L], padded on the right (padding is never looked at)."""
    length = max(len(s) for s in sequences)
    ids = torch.zeros(len(sequences), length, dtype=torch.int64)
    mask = torch.zeros(len(sequences), length, dtype=torch.int64)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.from_numpy(np.asarray(sequence, np.int64))
        mask[row, : len(sequence)] = 1
    return ids, mask
