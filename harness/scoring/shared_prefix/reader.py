"""Reading tokens behind a cached prefix (trunk), with an attention layout."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Cache, DynamicCache

from fusion.decoder import Decoder
from harness.scoring.shared_prefix.attention import Layout, TreeLayout, laid_out
from harness.scoring.shared_prefix.packing import Pack, pack
from harness.scoring.shared_prefix.prefixes import Tokens

Paths = list[NDArray[np.int64]]


class Reader(Protocol):
    """Reads sequences that share a trunk, and counts what it read."""

    decoder: Decoder
    tokens_read: int

    def grow(self, trunk: DynamicCache, tokens: Tokens, at_once: int) -> None:
        """Lengthen a trunk by `tokens`, at most `at_once` a pass."""

    def read(
        self, sequences: Sequence[Tokens], free: Sequence[int], trunk: DynamicCache, depth: int
    ) -> tuple[Tensor, Paths]:
        """Hidden states [N, width], and for each sequence where those of its tokens behind the trunk are.

        The trunk holds the first `depth` tokens of all; it may be longer afterwards (see `kept`). The hidden
        states of the first `free` tokens of a sequence need not be among those.
        """

    def tensor(self, values: NDArray[Any]) -> Tensor:
        """On the model's device."""


class ModelOnDevice:
    """Common to all readers: decoder and head of the model, its device, a count of tokens."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.tokens_read = 0

    @property
    def model(self) -> Any:
        return self.decoder.model

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.get_input_embeddings().weight.device
        return device

    def tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.device)


class TreeReader(ModelOnDevice):
    """Many sequences in one row, each token with a path of its own; any attention that can be replaced."""

    def grow(self, trunk: DynamicCache, tokens: Tokens, at_once: int) -> None:
        for start in range(0, len(tokens), at_once):
            part = tokens[start : start + at_once]
            depth = trunk.get_seq_length()
            positions = np.arange(depth, depth + len(part))
            self.read_pack(Pack(part, positions, np.tri(len(part), dtype=np.bool_), ()), trunk)

    def read(
        self, sequences: Sequence[Tokens], free: Sequence[int], trunk: DynamicCache, depth: int
    ) -> tuple[Tensor, Paths]:
        del free  # all of a pack is read at once
        packed = pack(sequences, depth)
        return self.read_pack(packed, trunk), list(packed.paths)

    def read_pack(self, pack: Pack, trunk: DynamicCache) -> Tensor:
        """Hidden states [N, width] of a pack; the trunk gains its N tokens."""
        depth = trunk.get_seq_length()
        layout = TreeLayout(self.tensor(pack.sees), self.tensor(pack.positions), depth)
        return self.read_laid_out(pack.tokens, pack.positions, trunk, layout)

    def read_laid_out(
        self, tokens: Tokens, positions: NDArray[np.int64], cache: Cache, layout: Layout
    ) -> Tensor:
        """Hidden states [N, width] of N tokens at these positions; keys and values go into `cache`."""
        self.tokens_read += len(tokens)
        with torch.inference_mode(), laid_out(self.model, layout):
            output = self.model.base_model(
                input_ids=self.tensor(tokens)[None],
                position_ids=self.tensor(positions)[None],
                # four dimensions: taken as it is, so that no triangle is built; the layout decides
                attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool, device=self.device),
                past_key_values=cache,
                use_cache=True,
            )
        hidden: Tensor = output.last_hidden_state[0]
        return hidden


@contextmanager
def kept(trunk: DynamicCache) -> Iterator[None]:
    """Tokens read within the block are removed from the trunk afterwards."""
    before = [(layer.keys, layer.values) for layer in trunk.layers]
    try:
        yield
    finally:
        del trunk.layers[len(before) :]
        for layer, (keys, values) in zip(trunk.layers, before, strict=True):
            layer.keys, layer.values = keys, values


def shrink(trunk: DynamicCache, depth: int) -> None:
    """Cut a trunk back to its first `depth` tokens."""
    for layer in trunk.layers:
        layer.keys, layer.values = layer.keys[..., :depth, :], layer.values[..., :depth, :]
