"""Top-k tokens, normaliser and gold log-probability of many rows, without holding all their logits.

    N   rows                    D   width of the hidden states        V   vocabulary
    T   logits of a tile        k   entries kept of each row          m   largest logit so far
    s   sum of exp(logit - m)   g   logit of the ground-truth token

On the CPU a plain head is applied to one tile of the vocabulary at a time, and a single pass over the tile,
while it is in the cache, updates m, s, g and the k largest logits. m and s follow the online softmax (Milakov
and Gimelshein 2018, algorithm 3): s <- s exp(m - m') + sum exp(x - m'). A block of 64 logits is searched only
if its maximum is above the k-th largest so far. On other devices, and for other heads, all of V is computed
for a chunk of rows. In both cases equal logits are ordered by id.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from fusion.distributions import TopK
from fusion.errors import FusionError
from fusion.lm_head import Head, Projection, apply_softcap

TILE_ROWS, TILE_WIDTH = 1024, 4096  # 16 MiB of float32: fits the last-level cache of most processors
CHUNK_LOGITS = 1 << 25  # logits held at a time where all of V is computed: 128 MiB of float32
_LEAST_HALF = np.float32(np.finfo(np.float16).min)


def top_k(logits: Tensor, gold: Tensor, k: int) -> TopK:
    """The k most likely tokens of logits [N, V], with the log-probability of the gold tokens [N].

    Equal logits are ordered by id. Raises FusionError if k exceeds V, or if a row's normaliser, kept entries
    or gold token are not finite (any other logit may be minus infinity: an impossible token).
    """
    return likeliest(_as_they_are, logits, gold, k)


@torch.no_grad()
def likeliest(
    head: Head, hidden: Tensor, gold: Tensor, k: int, *, where: Callable[[int], str] = "row {}".format
) -> TopK:
    """As `top_k`, for the logits that `head` computes from hidden states [N, D].

    `where` names a row in the error about logits that are not finite.
    """
    width = int(head(hidden[:0]).shape[-1])
    if not 1 <= k <= width:
        raise FusionError(
            f"top-{k} of a vocabulary of {width} tokens", remedy=f"use a top_k from 1 to {width}"
        )
    tiled = isinstance(head, Projection) and hidden.device.type == "cpu"
    chunk = TILE_ROWS if tiled else max(CHUNK_LOGITS // width, 1)
    of_chunk = _scanned if hidden.device.type == "cpu" else _sorted
    starts = range(0, max(len(hidden), 1), chunk)
    parts = [of_chunk(head, hidden[a : a + chunk], gold[a : a + chunk].to(hidden.device), k) for a in starts]
    found = _Found(*(np.concatenate(field) for field in zip(*parts, strict=True)))
    leftover = -np.expm1(np.minimum(_log_sum_exp(found.logprobs), 0.0))
    _check_finite(found, where, hidden.dtype)
    return TopK(
        found.ids.astype(np.int32),
        np.maximum(found.logprobs, _LEAST_HALF).astype(np.float16),
        np.clip(leftover, 0.0, 1.0).astype(np.float32),
        found.gold_logprob.astype(np.float32),
    )


class _Found(NamedTuple):
    ids: NDArray[Any]  # [n, k]
    logprobs: NDArray[np.float64]  # [n, k]
    gold_logprob: NDArray[np.float64]  # [n]


def _as_they_are(logits: Tensor) -> Tensor:
    return logits


def _log_sum_exp(logprobs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log of the sum of exp over the last axis; the input is at most about 0."""
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(np.log(np.exp(logprobs).sum(-1)), np.float64)


def _check_finite(found: _Found, where: Callable[[int], str], dtype: torch.dtype) -> None:
    fine = np.isfinite(found.logprobs).all(1) & np.isfinite(found.gold_logprob)
    if not fine.all():
        narrow = "" if dtype in (torch.float32, torch.float64) else "load the model in float32; "
        raise FusionError(
            f"{where(int(np.argmin(fine)))}: logits are not finite (NaN or infinity)",
            remedy=f"{narrow}check that its weights are finite",
        )


# --- any device: all of V for a chunk of rows


def _sorted(head: Head, hidden: Tensor, gold: Tensor, k: int) -> _Found:
    logits = head(hidden).float()
    values, ids = _ordered_top(logits, k)
    normaliser = logits.logsumexp(-1).double().unsqueeze(-1)
    gold_logit = logits.gather(-1, gold.long().unsqueeze(-1))
    fields = ids, values.double() - normaliser, (gold_logit - normaliser).squeeze(-1)
    return _Found(*(field.cpu().numpy() for field in fields))


def _ordered_top(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Values and ids [N, k] by descending value, then ascending id, which `topk` does not guarantee."""
    more = min(k + 1, logits.shape[-1])
    values, ids = logits.topk(more, dim=-1)
    tied = (values[:, k - 1] == values[:, more - 1]) if more > k else torch.zeros_like(ids[:, 0]).bool()
    values, ids = values[:, :k].clone(), ids[:, :k].clone()
    if tied.any():  # `topk` may have kept any of the equal ones: sort these rows completely
        by_value, by_id = logits[tied].sort(dim=-1, descending=True, stable=True)
        values[tied], ids[tied] = by_value[:, :k], by_id[:, :k]
    ids, order = ids.sort(dim=-1)
    values, order = values.gather(-1, order).sort(dim=-1, descending=True, stable=True)
    return values, ids.gather(-1, order)


# --- the CPU: a pass over each tile of V


def _scanned(head: Head, hidden: Tensor, gold: Tensor, k: int) -> _Found:
    count = len(hidden)
    values, ids = np.full((count, k), -np.inf, np.float32), np.zeros((count, k), np.int64)
    state = np.tile(np.array([-np.inf, 0.0, np.nan]), (count, 1))  # m, s, g
    came = gold.numpy().astype(np.int64)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        parts = _row_parts(count)
        for first, tile in _tiles(head, hidden):
            work = [pool.submit(_scan, first, tile[p], values[p], ids[p], state[p], came[p]) for p in parts]
            for done in work:
                done.result()
    with np.errstate(divide="ignore", invalid="ignore"):
        normaliser = state[:, 0] + np.log(state[:, 1])
        return _Found(ids, values - normaliser[:, None], state[:, 2] - normaliser)


def _row_parts(count: int) -> list[slice]:
    bounds = np.linspace(0, count, torch.get_num_threads() + 1).astype(int).tolist()
    return [slice(a, b) for a, b in pairwise(bounds) if a < b]


def _tiles(head: Head, hidden: Tensor) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """First token and logits [N, T] of each tile; the next tile overwrites it."""
    if not isinstance(head, Projection):
        yield 0, head(hidden).float().contiguous().numpy()
        return
    weight, count = head.weight.detach(), len(hidden)
    room = torch.empty(count * TILE_WIDTH, dtype=hidden.dtype)
    for first in range(0, len(weight), TILE_WIDTH):
        part = weight[first : first + TILE_WIDTH]
        logits = room[: count * len(part)].view(count, len(part))
        torch.mm(hidden, part.T, out=logits)
        yield first, apply_softcap(logits, head.scale, head.softcap).float().numpy()


_BLOCK = 64
_LOG2E, _LN2_HIGH, _LN2_LOW = np.float32(1.442695041), np.float32(0.693359375), np.float32(-2.12194440e-4)
_HALF, _LEAST_EXPONENT, _NO_LOGIT = np.float32(0.5), np.float32(-87.0), np.float32(-np.inf)
_TAYLOR = tuple(np.float32(1 / f) for f in (6, 24, 120, 720))
_SIGN_OFF, _INFINITE = np.int32(0x7FFFFFFF), np.int32(0x7F800000)  # of a float32's bits; above: NaN


def _scan_tile(
    first: int,
    tile: NDArray[np.float32],
    values: NDArray[np.float32],
    ids: NDArray[np.int64],
    state: NDArray[np.float64],
    came: NDArray[np.int64],
) -> None:
    """Update the k largest [N, k] and m, s, g [N, 3] with a tile [N, T] of logits that starts at `first`.

    `came` [N] are the ground-truth tokens.
    """
    rows, width = tile.shape
    raw = tile.view(np.int32)
    bits = np.empty(_BLOCK, np.int32)  # of 2^n; exp(y) = 2^n exp(z) with |z| <= ln(2) / 2
    power, small = bits.view(np.float32), np.empty(_BLOCK, np.float32)
    for r in range(rows):
        if first <= came[r] < first + width:
            state[r, 2] = tile[r, came[r] - first]
        m = np.float32(state[r, 0])
        for start in range(0, width, _BLOCK):
            stop = min(start + _BLOCK, width)
            if _has_nan(raw[r, start:stop]):
                state[r, 1] = np.nan
                break
            x = tile[r, start:stop]
            top = _largest(x)
            if top > m:
                state[r, 1] *= np.exp(np.float64(m) - np.float64(top))
                m = top
            if top > values[r, -1]:
                _insert(x, first + start, values[r], ids[r])
            if _NO_LOGIT < m < -_NO_LOGIT:
                state[r, 1] += _sum_exp(x, m, bits, power, small)
        state[r, 0] = m


def _has_nan_in(raw: NDArray[np.int32]) -> bool:
    worst = np.int32(0)
    for j in range(len(raw)):
        worst = max(worst, raw[j] & _SIGN_OFF)
    return bool(worst > _INFINITE)


def _largest_of(x: NDArray[np.float32]) -> Any:
    top = _NO_LOGIT
    for j in range(len(x)):
        top = max(top, x[j])
    return top


def _insert_into(x: NDArray[np.float32], first: int, values: NDArray[np.float32], ids: NDArray[Any]) -> None:
    """Insert logits larger than the smallest one kept; of equal ones the earlier (lower id) stays."""
    for j in range(len(x)):
        if x[j] > values[-1]:
            place = len(values) - 1
            while place > 0 and values[place - 1] < x[j]:
                values[place], ids[place] = values[place - 1], ids[place - 1]
                place -= 1
            values[place], ids[place] = x[j], first + j


def _sum_of_exp(
    x: NDArray[np.float32],
    m: Any,
    bits: NDArray[np.int32],
    power: NDArray[np.float32],
    small: NDArray[np.float32],
) -> Any:
    """Sum of exp(x - m), with a relative error of about 2e-7; numba's own exp is not vectorised."""
    a, b, c, d = _TAYLOR
    one = np.float32(1.0)
    for j in range(len(x)):
        y = max(x[j] - m, _LEAST_EXPONENT)
        n = np.int32(y * _LOG2E - _HALF)
        z = y - np.float32(n) * _LN2_HIGH - np.float32(n) * _LN2_LOW
        small[j] = one + z * (one + z * (_HALF + z * (a + z * (b + z * (c + z * d)))))
        bits[j] = (n + np.int32(127)) << np.int32(23)
    total = np.float32(0.0)
    for j in range(len(x)):
        total += small[j] * power[j]
    return total


# Sums and maxima may be reordered, so that they can be vectorised; NaN has been checked for before.
_fast: Any = njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "reassoc", "contract"})
_has_nan: Any = njit(cache=True, nogil=True)(_has_nan_in)
_largest: Any = _fast(_largest_of)
_insert: Any = njit(cache=True, nogil=True)(_insert_into)
_sum_exp: Any = _fast(_sum_of_exp)
_scan: Any = njit(cache=True, nogil=True, error_model="numpy")(_scan_tile)
