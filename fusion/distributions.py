"""Next-token distributions of one model over all windows: top-k log-probabilities and the leftover mass.

    W   windows        S   tokens of a window (bos, text, eos)      R   rows of all windows, S - 1 for each
    N   rows of a batch         V   vocabulary         K   entries kept of each row

Row t is the prediction after reading input_ids[0..t]; its ground-truth token, `gold`, is input_ids[t + 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fusion.choices import MAX_TOP_K
from fusion.errors import FusionError
from fusion.tokens import Encoding

NO_BYTE = np.iinfo(np.int64).max


class TopK(NamedTuple):
    """The k most likely tokens of N rows in descending order, the leftover, and the ground-truth token."""

    ids: NDArray[np.int32]  # [N, k]
    logprobs: NDArray[np.float16]  # [N, k], natural logarithm
    leftover: NDArray[np.float32]  # [N], probability of all other tokens together
    gold_logprob: NDArray[np.float32]  # [N]

    def part(self, rows: slice) -> "TopK":
        """Some of the rows."""
        return TopK(self.ids[rows], self.logprobs[rows], self.leftover[rows], self.gold_logprob[rows])


class WindowScores(NamedTuple):
    """How well a model predicted each window's text, as sums that can be pooled over windows."""

    nll: NDArray[np.float64]  # [W], nats
    bytes: NDArray[np.int64]  # [W], of the text that was predicted
    tokens: NDArray[np.int64]  # [W], that were predicted


@dataclass(frozen=True)
class Distributions:
    """One model's rows over some windows, in memory (`shards` keeps them on disk).

    Window w has the tokens `token_offsets[w]` to `token_offsets[w + 1]`, and the rows `windows[w]` to
    `windows[w + 1]`.
    """

    windows: NDArray[np.int64]  # [W + 1]
    token_offsets: NDArray[np.int64]  # [W + 1]
    closed: NDArray[np.bool_]  # [W], whether the window's last token is an eos after the text
    input_ids: NDArray[np.int32]  # [tokens]
    ends: NDArray[np.int32]  # [tokens]
    ids: NDArray[np.int32]  # [R, K]
    logprobs: NDArray[np.float16]  # [R, K]
    leftover: NDArray[np.float16]  # [R]
    gold_logprob: NDArray[np.float32]  # [R]
    exact: NDArray[np.bool_]  # [W], whether the tokens' own bytes are the window's text

    @classmethod
    def create(
        cls,
        encodings: Sequence[Encoding],
        closed: Sequence[bool],
        *,
        k: int,
        vocabulary_size: int,
    ) -> Self:
        """Arrays for all rows, with the tokens filled in and the distributions zero (fill them with `put`).

        `vocabulary_size` is the width of the model's logits. Raises FusionError as `check_sizes` does.
        """
        check_sizes(encodings, k, vocabulary_size)
        lengths = np.array([len(e.input_ids) for e in encodings], np.int64)
        windows = offsets_of(np.maximum(lengths - 1, 0))
        return cls(
            windows=windows,
            token_offsets=offsets_of(lengths),
            closed=np.array(closed, np.bool_),
            input_ids=_joined([e.input_ids for e in encodings]),
            ends=_joined([e.ends for e in encodings]),
            ids=np.zeros((windows[-1], k), np.int32),
            logprobs=np.zeros((windows[-1], k), np.float16),
            leftover=np.zeros(windows[-1], np.float16),
            gold_logprob=np.zeros(windows[-1], np.float32),
            exact=np.array([e.exact for e in encodings], np.bool_),
        )

    def rows(self, window: int) -> slice:
        """The window's rows."""
        return slice(int(self.windows[window]), int(self.windows[window + 1]))

    @property
    def last_read(self) -> NDArray[np.int64]:
        """Index of the last token that each row has read [R]; it predicts the one after it."""
        before = np.repeat(self.token_offsets[:-1] - self.windows[:-1], np.diff(self.windows))
        return np.asarray(before + np.arange(len(self.gold_logprob)), np.int64)

    @property
    def read_to(self) -> NDArray[np.int64]:
        """Number of bytes of its window that each row has read [R], plus 2^32 times the window's index.

        Ascending over all windows, so that rows of two models that have read the same text can be matched in
        one search.
        """
        return self._placed(self.last_read)

    @property
    def predicts_to(self) -> NDArray[np.int64]:
        """As `read_to`, up to the end of the token that each row predicts [R]."""
        return self._placed(self.last_read + 1)

    def _placed(self, token: NDArray[np.int64]) -> NDArray[np.int64]:
        window = np.repeat(np.arange(len(self.closed), dtype=np.int64), np.diff(self.windows))
        return np.asarray((window << 32) + self.ends[token], np.int64)

    @property
    def gold(self) -> NDArray[np.int32]:
        """Ground-truth token of each row [R]: the next token of the text."""
        return np.asarray(self.input_ids[self.last_read + 1], np.int32)

    def tokens(self, window: int) -> slice:
        """The window's tokens: one more than it has rows."""
        return slice(int(self.token_offsets[window]), int(self.token_offsets[window + 1]))

    def encoding(self, window: int) -> Encoding:
        """The window as the model read it."""
        tokens = self.tokens(window)
        return Encoding(self.input_ids[tokens], self.ends[tokens], bool(self.exact[window]))

    def part(self, start: int, stop: int) -> "Distributions":
        """Windows `start` to `stop` (excluded) as views, with windows, rows and tokens counted from 0."""
        rows = slice(int(self.windows[start]), int(self.windows[stop]))
        tokens = slice(int(self.token_offsets[start]), int(self.token_offsets[stop]))
        return Distributions(
            windows=self.windows[start : stop + 1] - self.windows[start],
            token_offsets=self.token_offsets[start : stop + 1] - self.token_offsets[start],
            closed=self.closed[start:stop],
            input_ids=self.input_ids[tokens],
            ends=self.ends[tokens],
            ids=self.ids[rows],
            logprobs=self.logprobs[rows],
            leftover=self.leftover[rows],
            gold_logprob=self.gold_logprob[rows],
            exact=self.exact[start:stop],
        )

    def put(self, window: int, found: TopK) -> None:
        """Store a window's rows."""
        rows = self.rows(window)
        self.ids[rows] = found.ids
        self.logprobs[rows] = found.logprobs
        self.leftover[rows] = found.leftover
        self.gold_logprob[rows] = found.gold_logprob


def offsets_of(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Start of each of n pieces of the given lengths when concatenated, then the total length: [n + 1]."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


def _joined(pieces: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    return np.concatenate([np.zeros(0, np.int32), *pieces]).astype(np.int32)


def check_sizes(encodings: Sequence[Encoding], k: int, vocabulary_size: int) -> None:
    """Raise FusionError if k is outside 1..256 or above the vocabulary's size, or a token id is beyond it."""
    if not 1 <= k <= min(MAX_TOP_K, vocabulary_size):
        raise FusionError(
            f"top-{k} of a vocabulary of {vocabulary_size} tokens",
            remedy=f"use a top_k from 1 to {min(MAX_TOP_K, vocabulary_size)}",
        )
    for window, encoding in enumerate(encodings):
        if int(encoding.input_ids.max(initial=0)) >= vocabulary_size:
            raise FusionError(
                f"window {window} has token {encoding.input_ids.max()}, beyond the model's vocabulary of "
                f"{vocabulary_size}",
                remedy="use the tokenizer that belongs to the model",
            )


def window_nll(
    distributions: Distributions,
    first_byte: NDArray[np.int64] | None = None,
    *,
    unknown: int | None = None,
) -> WindowScores:
    """Negative log-likelihood (nats), bytes and tokens of each window's text, summed over the window.

    Not counted: eos, which has no bytes; the first token of a model without bos, which is not predicted; and
    tokens that begin before the window's `first_byte` [W] (`common_start` of several models).

    `unknown` is the model's unk token. It does not say which bytes it replaces, so each of them costs log 256
    more; otherwise a model that cannot represent a text would seem to predict it best.
    """
    d = distributions
    starts, stops, window = _text_rows(d)
    counted = starts >= 0
    if first_byte is not None:
        counted &= starts >= first_byte[window]
    window, count = window[counted], len(d.closed)
    nats = -d.gold_logprob.astype(np.float64) + unwritten_nats(d, unknown)
    nll = np.bincount(window, nats[counted], count).astype(np.float64)
    read = np.bincount(window, (stops - starts)[counted], count).astype(np.int64)
    return WindowScores(nll, read, np.bincount(window, minlength=count).astype(np.int64))


def unwritten_nats(d: Distributions, unknown: int | None) -> NDArray[np.float64]:
    """Cost of the bytes that the `unknown` token replaces, per row [R] in nats: log 256 for each byte."""
    if unknown is None:
        return np.zeros(len(d.gold_logprob))
    token = d.last_read
    hidden = np.where(d.gold == unknown, d.ends[token + 1] - d.ends[token], 0)
    return np.asarray(np.log(256.0) * hidden, np.float64)


def common_start(models: Sequence[Distributions]) -> NDArray[np.int64]:
    """First byte of each window [W] from which all models can be compared on the same text.

    That is the first byte at which a token of every model begins, and which every model can predict (a model
    without bos cannot predict its first token). If no such byte exists, it is the largest of the models'
    first predicted bytes; if a model predicts nothing in the window, 0.
    """
    latest = np.max([_next_start(d, np.zeros(len(d.closed), np.int64)) for d in models], axis=0)
    common = latest
    while True:
        moved = np.max([_next_start(d, common) for d in models], axis=0)
        if np.array_equal(moved, common):
            return np.where(common == NO_BYTE, np.where(latest == NO_BYTE, 0, latest), common)
        common = moved


def _next_start(d: Distributions, at_least: NDArray[np.int64]) -> NDArray[np.int64]:
    """First byte [W] at or after `at_least` [W] where a predicted token begins; NO_BYTE if none does."""
    starts, _, window = _text_rows(d)
    usable = (starts >= 0) & (starts >= at_least[window])
    found = np.full(len(d.closed), NO_BYTE)
    np.minimum.at(found, window[usable], starts[usable])
    return found


def _text_rows(d: Distributions) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Per row [R]: first byte of the predicted token (-1 for eos), the byte after it, and the window."""
    token, lengths = d.last_read, np.diff(d.windows)
    starts = d.ends[token].astype(np.int64)
    starts[d.windows[1:][d.closed & (lengths > 0)] - 1] = -1
    return starts, d.ends[token + 1].astype(np.int64), np.repeat(np.arange(len(lengths)), lengths)


def bits_per_byte(scores: WindowScores) -> NDArray[np.float64]:
    """Bits per byte of each window [W]; nan where no byte was predicted."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(scores.bytes > 0, scores.nll / (scores.bytes * np.log(2.0)), np.nan)
