"""Attention with an arbitrary mask (a layout) instead of the causal mask, for all architectures.

transformers lets a model's attention be replaced by a registered function (its AttentionInterface). The one
here uses the layout of the current pass. Each layer passes its own settings (scale, sliding window, soft
cap), so that one layout works for models with different kinds of layers.

    N    tokens read in this pass      S    tokens that may be seen, those read now last
    H    heads      K    heads of keys and values      D    width of a head
    B    rows generated at once      L    tokens a row reads in a step      T    tokens of the trunk
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface

NAME = "fusegauge_layout"


@dataclass(frozen=True)
class Call:
    """What one layer hands over."""

    layer: int
    query: Tensor  # [1, H, N, D]
    key: Tensor  # as the cache returned it
    value: Tensor
    scale: float
    window: int | None  # a token sees those less than this many positions before it
    softcap: float | None


class Layout(Protocol):
    def attend(self, call: Call) -> Tensor:
        """[1, H, N, D] for this layer's queries."""


_ACTIVE: ContextVar[Layout | None] = ContextVar("layout", default=None)


@contextmanager
def laid_out(model: Any, layout: Layout) -> Iterator[None]:
    """Within the block, every layer of `model` attends as `layout` says."""
    AttentionInterface.register(NAME, _attention)
    config = model.config
    before, token = config._attn_implementation, _ACTIVE.set(layout)
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        _ACTIVE.reset(token)


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_others: Any,
) -> tuple[Tensor, None]:
    """In the form that transformers calls: [1, N, H, D], and no weights."""
    del attention_mask
    layout = _ACTIVE.get()
    assert layout is not None  # only `laid_out` names this function
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    result = layout.attend(Call(module.layer_idx, query, key, value, scale, sliding_window, softcap))
    return result.transpose(1, 2).contiguous(), None


@dataclass
class TreeLayout:
    """Tokens of a pack behind a trunk: `sees` [N, N], `positions` [N]; the trunk's positions are 0 to T-1."""

    sees: Tensor
    positions: Tensor
    trunk: int
    _masks: dict[tuple[int | None, int], Tensor] = field(default_factory=dict)

    def attend(self, call: Call) -> Tensor:
        _, heads, count, width = call.query.shape
        folded = heads // call.key.shape[1]
        # heads that share keys and values become more queries of one head: no copies of keys and values
        query = call.query.reshape(1, -1, folded * count, width)
        mask = self._mask(call.window, folded)
        if call.softcap is None:
            result = torch.nn.functional.scaled_dot_product_attention(
                query, call.key, call.value, attn_mask=mask, scale=call.scale
            )
        else:
            scores = capped(_products(query * call.scale, call.key), call.softcap)
            result = _weighted(scores.masked_fill(~mask, -torch.inf), call.value)
        return result.reshape(1, heads, count, width)

    def _mask(self, window: int | None, folded: int) -> Tensor:
        """[1, 1, folded * N, T + N]; made once a pass for each kind of layer."""
        if (window, folded) not in self._masks:
            seen = torch.ones(len(self.positions), self.trunk, dtype=torch.bool, device=self.sees.device)
            mask = torch.cat([seen, self.sees], dim=1)
            if window is not None:
                at = torch.arange(self.trunk, device=self.positions.device)
                mask = mask & near(self.positions, torch.cat([at, self.positions]), window)
            self._masks[window, folded] = mask.repeat(folded, 1)[None, None]
        return self._masks[window, folded]


@dataclass
class RowsLayout:
    """Rows that go on behind one trunk, each with its own text: the trunk's keys are read once for all rows.

    `starts` [B] is how many tokens behind the trunk each row held before this pass, in which it reads L more;
    queries come row by row. `keys` and `values` are the trunk's, [K, T, D] a layer (none: no trunk).
    """

    starts: Tensor
    length: int
    keys: list[Tensor]
    values: list[Tensor]
    _hidden: dict[tuple[int | None, int], Tensor | None] = field(default_factory=dict)

    @property
    def trunk(self) -> int:
        return self.keys[0].shape[-2] if self.keys else 0

    def attend(self, call: Call) -> Tensor:
        """As one softmax over the trunk's tokens and the row's own."""
        rows, groups, own, width = call.key.shape
        heads = call.query.shape[1]
        query = call.query.reshape(groups, heads // groups, rows, self.length, width)
        query = query.permute(2, 0, 1, 3, 4).reshape(rows, groups, -1, width)  # [B, K, H/K * L, D]
        query = query * call.scale  # before the product, which could overflow in float16
        scores = _products(query, call.key)
        if self.trunk:
            scores = torch.cat([self._trunk_scores(query, call.layer), scores], dim=-1)
        scores = capped(scores, call.softcap)
        if (hidden := self._mask(call.window, own)) is not None:
            each = scores.view(rows, groups, -1, self.length, scores.shape[-1])
            scores = each.masked_fill(hidden, -torch.inf).view_as(scores)
        weights = torch.softmax(scores, dim=-1).to(call.value.dtype)
        result = weights[..., self.trunk :] @ call.value
        if self.trunk:
            result = result + self._trunk_values(weights[..., : self.trunk], call.layer)
        result = result.view(rows, groups, heads // groups, self.length, width)
        return result.permute(1, 2, 0, 3, 4).reshape(1, heads, rows * self.length, width)

    def _trunk_scores(self, query: Tensor, layer: int) -> Tensor:
        """[B, K, Q, D] -> [B, K, Q, T], all rows as one matrix."""
        rows, groups, count, _ = query.shape
        flat = query.transpose(0, 1).reshape(groups, rows * count, -1)
        return _products(flat, self.keys[layer]).view(groups, rows, count, -1).transpose(0, 1)

    def _trunk_values(self, weights: Tensor, layer: int) -> Tensor:
        """[B, K, Q, T] -> [B, K, Q, D]."""
        rows, groups, count, _ = weights.shape
        flat = weights.transpose(0, 1).reshape(groups, rows * count, -1)
        return (flat @ self.values[layer]).view(groups, rows, count, -1).transpose(0, 1)

    def _mask(self, window: int | None, own: int) -> Tensor | None:
        """[B, 1, 1, L, T + own] what a query does not see; None where all rows see all."""
        if (window, own) not in self._hidden:
            at = self.starts[:, None] + torch.arange(self.length, device=self.starts.device)  # [B, L]
            keys = torch.arange(-self.trunk, own, device=self.starts.device)  # the trunk lies before 0
            seen = keys <= at[..., None]
            if window is not None:
                seen = seen & (at[..., None] - keys < window)
            self._hidden[window, own] = None if bool(seen.all()) else ~seen[:, None, None]
        return self._hidden[window, own]


def near(queries: Tensor, keys: Tensor, window: int) -> Tensor:
    """[N, S] whether a key's position is less than `window` before the query's."""
    return queries[:, None] - keys[None, :] < window


def capped(scores: Tensor, softcap: float | None) -> Tensor:
    """softcap * tanh(scores / softcap), as in Gemma-2."""
    return scores if softcap is None else softcap * torch.tanh(scores / softcap)


def _products(query: Tensor, key: Tensor) -> Tensor:
    """Query times key, in float32 from here to the softmax."""
    return (query @ key.transpose(-1, -2)).float()


def _weighted(scores: Tensor, value: Tensor) -> Tensor:
    return torch.softmax(scores, dim=-1).to(value.dtype) @ value
