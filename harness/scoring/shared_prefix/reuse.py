"""Reading with the model's own attention: a document's context once, its answers as a batch after it.

For architectures whose attention cannot be replaced and whose positions come from the cache (ALiBi in MPT and
Bloom). Nothing but causal reading is asked of the model, so it is exact wherever its cache is.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from harness.scoring.shared_prefix.prefixes import Tokens, shared
from harness.scoring.shared_prefix.reader import ModelOnDevice, Paths, kept


class ReuseReader(ModelOnDevice):
    """Keys and values of a shared context, expanded over the sequences that go on from it."""

    def grow(self, trunk: DynamicCache, tokens: Tokens, at_once: int) -> None:
        for start in range(0, len(tokens), at_once):
            self._forward(tokens[None, start : start + at_once], trunk)

    def read(
        self, sequences: Sequence[Tokens], free: Sequence[int], trunk: DynamicCache, depth: int
    ) -> tuple[Tensor, Paths]:
        states: list[Tensor] = []
        paths: Paths = []
        count = 0
        for first, last in _documents(sequences, free):
            with kept(trunk):
                context = free[first]
                self.grow(trunk, sequences[first][depth:context], max(1, context - depth))
                hidden = self._answers([s[context:] for s in sequences[first:last]], trunk)
            for row, sequence in enumerate(sequences[first:last]):
                own = np.arange(len(sequence) - context) + count + row * hidden.shape[1]
                paths.append(own)
            states.append(hidden.flatten(0, 1))
            count += hidden.shape[0] * hidden.shape[1]
        return torch.cat(states), paths

    def _answers(self, suffixes: Sequence[Tokens], trunk: DynamicCache) -> Tensor:
        """Hidden states [B, longest, width]; what stands behind a shorter one is filling."""
        longest = max(map(len, suffixes))
        batch = np.zeros((len(suffixes), longest), np.int64)
        for row, suffix in enumerate(suffixes):
            batch[row, : len(suffix)] = suffix
        return self._forward(batch, _expanded(trunk, len(suffixes)))

    def _forward(self, tokens: Tokens, cache: DynamicCache) -> Tensor:
        self.tokens_read += tokens.size
        with torch.inference_mode():
            output = self.model.base_model(
                input_ids=self.tensor(tokens), past_key_values=cache, use_cache=True
            )
        hidden: Tensor = output.last_hidden_state
        return hidden


def _documents(sequences: Sequence[Tokens], free: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ranges of neighbours with the same context."""
    start = 0
    for i in range(1, len(sequences) + 1):
        same = (
            i < len(sequences)
            and free[i] == free[start]
            and shared(sequences[i], sequences[start]) >= free[start]
        )
        if not same:
            yield start, i
            start = i


def _expanded(trunk: DynamicCache, rows: int) -> DynamicCache:
    batch = DynamicCache()
    for index, layer in enumerate(trunk.layers):
        batch.update(layer.keys.expand(rows, -1, -1, -1), layer.values.expand(rows, -1, -1, -1), index)
    return batch
