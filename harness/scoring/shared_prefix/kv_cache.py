"""KV cache of the rows that are being generated; slots are reused by new rows.

B    places in use      C    tokens that a place can hold      K, D    as in attention
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache

_SPARE = 32  # tokens by which places grow beyond what is needed now


class RowCache(Cache):  # type: ignore[misc]
    """The part of each row's text behind the trunk; rows 0 to B-1 are in use.

    During a pass `update` writes what the rows read; `commit` says how much of it counts. What does not (a
    guess that was wrong) is written over by the next pass.
    """

    def __init__(self, places: int) -> None:
        super().__init__(layers=[])
        self.places = places
        self.lengths: list[int] = []  # of the rows in use
        self._keys: list[Tensor] = []  # a layer: [places, K, C, D]
        self._values: list[Tensor] = []
        self._at: tuple[Tensor, Tensor] | None = None  # row and slot of each token of this pass
        self._reach = 0

    def admit(self, cache: DynamicCache, paths: Sequence[Tensor]) -> None:
        """Take rows in: `paths` are the slots of `cache` that hold each row's text behind the trunk."""
        first = len(self.lengths)
        self.lengths += [len(path) for path in paths]
        assert len(self.lengths) <= self.places
        self._make_room(max(self.lengths), cache)
        for layer, (keys, values) in enumerate(_pairs(cache)):
            for row, path in enumerate(paths, start=first):
                self._keys[layer][row, :, : len(path)] = keys[0][:, path]
                self._values[layer][row, :, : len(path)] = values[0][:, path]

    def leave(self, row: int) -> None:
        """Remove a row; the last row moves to its slot."""
        last = len(self.lengths) - 1
        size = self.lengths[last]
        for store in (*self._keys, *self._values) if row != last else ():
            store[row, :, :size] = store[last, :, :size]
        self.lengths[row] = size
        self.lengths.pop()

    def begin(self, count: int) -> None:
        """The next pass reads `count` tokens for every row, row by row."""
        self._make_room(max(self.lengths) + count, None)
        device = self._keys[0].device
        starts = torch.tensor(self.lengths, device=device)
        rows = torch.arange(len(self.lengths), device=device).repeat_interleave(count)
        slots = (starts[:, None] + torch.arange(count, device=device)).flatten()
        self._at, self._reach = (rows, slots), max(self.lengths) + count

    def commit(self, accepted: Sequence[int]) -> None:
        """Keep the first `accepted[b]` tokens that the last pass read for row b."""
        self.lengths = [length + new for length, new in zip(self.lengths, accepted, strict=True)]

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Keys and values [1, K, B * L, D] of this pass -> all of the rows' own, [B, K, S, D]."""
        assert self._at is not None
        rows, slots = self._at
        count = len(self.lengths)
        for store, states in ((self._keys, key_states), (self._values, value_states)):
            store[layer_idx][rows, :, slots] = states[0].transpose(0, 1)
        return self._keys[layer_idx][:count, :, : self._reach], self._values[layer_idx][
            :count, :, : self._reach
        ]

    def _make_room(self, length: int, like: DynamicCache | None) -> None:
        """Places of at least `length` tokens; `like` has the layers' shapes, for the first time."""
        if not self._keys and like is not None:
            self._keys = [_empty(self.places, length + _SPARE, keys) for keys, _ in _pairs(like)]
            self._values = [_empty(self.places, length + _SPARE, values) for _, values in _pairs(like)]
        elif self._keys[0].shape[2] < length:
            more = max(length, self._keys[0].shape[2] * 3 // 2) + _SPARE
            self._keys = [_grown(store, more) for store in self._keys]
            self._values = [_grown(store, more) for store in self._values]


def trunk_layers(cache: DynamicCache) -> tuple[list[Tensor], list[Tensor]]:
    """Keys and values of a trunk, [K, T, D] a layer."""
    pairs = _pairs(cache)
    return [keys[0] for keys, _ in pairs], [values[0] for _, values in pairs]


def _pairs(cache: DynamicCache) -> list[tuple[Tensor, Tensor]]:
    return [(layer.keys, layer.values) for layer in cache.layers]


def _empty(places: int, length: int, like: Tensor) -> Tensor:
    return like.new_zeros(places, like.shape[1], length, like.shape[3])


def _grown(store: Tensor, length: int) -> Tensor:
    wider = store.new_zeros(store.shape[0], store.shape[1], length, store.shape[3])
    wider[:, :, : store.shape[2]] = store
    return wider
