"""Extraction of a model's next-token distributions over windows, in memory or into a store on disk.

    W   windows        S   tokens of a window        B x L   a padded batch        D   width of hidden states
    N   rows of a batch, one for each token but a window's last                    V   vocabulary

Windows of similar length share a batch, so there is little padding. The head is applied only to positions
that predict a token, and logits [N, V] are never held at once (`likeliest`).
"""

import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusion.decoder import Decoder, split_model
from fusion.distributions import Distributions, TopK
from fusion.progress import OnProgress
from fusion.shards import DistributionStore, StoreWriter, check_closed
from fusion.tokens import Encoding
from fusion.top_k import likeliest

BATCH_TOKENS = 4096
SHARD_ROWS = 1 << 18  # a killed extraction repeats at most this many rows


def extract(
    model: Any,
    encodings: Sequence[Encoding],
    closed: Sequence[bool],
    *,
    k: int,
    batch_tokens: int = BATCH_TOKENS,
    report: OnProgress = lambda done, total: None,
) -> Distributions:
    """Compute the model's distributions over all windows, in order, in memory.

    `closed[w]` says whether window w ends with eos. Raises FusionError if logits are not finite (naming model
    and window), k is outside 1..256 or above the vocabulary's size, a token is beyond the model's logits, or
    `closed` and `encodings` differ in length.
    """
    check_closed(encodings, closed)
    model.eval()
    decoder = split_model(model)
    out = Distributions.create(encodings, closed, k=k, vocabulary_size=_width(decoder))
    for done in _fill(decoder, encodings, out, batch_tokens):
        report(done, len(encodings))
    return out


def extract_to(
    folder: Path,
    model: Any,
    encodings: Sequence[Encoding],
    closed: Sequence[bool],
    *,
    k: int,
    batch_tokens: int = BATCH_TOKENS,
    shard_rows: int = SHARD_ROWS,
    report: OnProgress = lambda done, total: None,
) -> DistributionStore:
    """As `extract`, into a store on disk, in shards of at most `shard_rows` rows (at least one window).

    Shards left in the folder by an earlier call with the same model, windows and k are kept; the first
    `report` says how many windows they hold.
    """
    model.eval()
    decoder = split_model(model)
    writer = StoreWriter(
        folder, encodings, closed, k=k, vocabulary_size=_width(decoder), origin=_origin(decoder.model)
    )
    before = writer.windows_done
    report(before, len(encodings))
    for start, stop in writer.missing(shard_rows):
        block = writer.block(start, stop)
        for done in _fill(decoder, encodings[start:stop], block, batch_tokens, start):
            report(before + done, len(encodings))
        writer.write(start, block)
        before += stop - start
    return writer.close()


def length_batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices in batches of at most `batch_tokens` padded tokens (at least one window), longest first.

    Longest first, so that a batch too large for memory fails at the start and not after an hour.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batch and lengths[batch[0]] * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _fill(
    decoder: Decoder,
    encodings: Sequence[Encoding],
    out: Distributions,
    batch_tokens: int,
    first_window: int = 0,
) -> Iterator[int]:
    """Fill `out` batch by batch; yields the number of windows done. `first_window` is for error messages."""
    done = 0
    for batch in length_batches([len(e.input_ids) for e in encodings], batch_tokens):
        sizes = np.array([max(len(encodings[i].input_ids) - 1, 0) for i in batch])
        if sizes.any():
            owner = np.repeat(np.array(batch) + first_window, sizes)
            found = _read(decoder, [encodings[i].input_ids for i in batch], out.ids.shape[1], owner)
            for index, stop, size in zip(batch, np.cumsum(sizes), sizes, strict=True):
                out.put(index, found.part(slice(stop - size, stop)))
        done += len(batch)
        yield done


@torch.inference_mode()
def _read(decoder: Decoder, sequences: Sequence[NDArray[np.int32]], k: int, owner: NDArray[np.int64]) -> TopK:
    """Rows [N] of a batch's windows, one window after the other; `owner` [N] is each row's window."""
    device = decoder.model.get_input_embeddings().weight.device
    ids, mask = _padded(sequences)
    predicts = mask[:, 1:].bool()  # positions of a token that has a next token
    hidden = decoder.hidden(ids.to(device), mask.to(device))[:, :-1][predicts.to(device)]
    name = decoder.model.config.name_or_path or decoder.model.config.model_type
    return likeliest(
        decoder.head, hidden, ids[:, 1:][predicts], k, where=lambda row: f"{name}, window {owner[row]}"
    )


def _padded(sequences: Sequence[NDArray[np.int32]]) -> tuple[Tensor, Tensor]:
    """Token ids and mask, both int64 [B, L], padded on the right (padding is never attended to)."""
    length = max(len(s) for s in sequences)
    ids = torch.zeros(len(sequences), length, dtype=torch.int64)
    mask = torch.zeros(len(sequences), length, dtype=torch.int64)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.from_numpy(np.asarray(sequence, np.int64))
        mask[row, : len(sequence)] = 1
    return ids, mask


def _width(decoder: Decoder) -> int:
    return int(decoder.model.get_output_embeddings().weight.shape[0])


def _origin(model: Any) -> str:
    """Digest of everything that determines a model's output: configuration, parameters and buffers.

    About 1 s of one core for each GB of weights (0.5 to 1 where the processor has SHA-256 instructions).
    """
    settings = json.loads(model.config.to_json_string(use_diff=False))
    settings.pop("_name_or_path", None)  # its folder does not matter
    digest = sha256(json.dumps(settings, sort_keys=True).encode())
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(raw.numpy())
    return digest.hexdigest()
