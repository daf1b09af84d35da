"""The probability that a source gives to the bytes of the target's next token (`next_token: text`).

    R_t, R_s   rows of target and source over the same windows

Two models that have read the same bytes may split the following text differently: the target's next token may
be a newline with the indentation after it, while the source's is the newline alone. A vocabulary map then
puts the source's probability on a token that the target does not use there. Instead, the source's probability
of the target's next token is that of the token's *bytes*: the product over the source tokens that write them,
all of which the source has scored. (Minixhofer et al. 2025, "Universal Cross-Tokenizer Distillation via
Approximate Likelihood Matching", compare tokenizers by likelihoods of byte chunks in the same way.)
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion.distributions import Distributions
from fusion.errors import FusionError


class Continuation(NamedTuple):
    """Per target row: both models' ground-truth next tokens, and the source's probability of the target's.

    `probability` is what the source gives to the bytes of the target's next token. It is taken from the
    source's own next token and is at most that token's probability. The product runs up to and including the
    source token that completes the target's.

    It is 0 where it cannot be computed: the row has no source row, or one that has read other bytes (which
    `align_em` and `align_mined` allow), or one of the tokenizers changed the window's text (not `exact`: its
    tokens stand for other bytes, or in the case of an unknown token for any).
    """

    target_token: NDArray[np.int32]  # [R_t]
    source_token: NDArray[np.int32]  # [R_t], 0 where there is no source
    probability: NDArray[np.float64]  # [R_t]


def follow_text(target: Distributions, source: Distributions, rows: NDArray[np.int32]) -> Continuation:
    """Compute the continuation of each target row; `rows` [R_t] are its aligned source rows, -1 for none.

    Raises FusionError unless both models have read the same number of windows.
    """
    if len(target.closed) != len(source.closed):
        raise FusionError(
            f"the target has read {len(target.closed)} windows and the source {len(source.closed)}",
            remedy="extract both from the same windows",
        )
    taught = _read_the_same(target, source, rows)
    first = rows[taught]
    last = np.maximum(_row_that_completes(target, source, taught), first)
    logprob = source.gold_logprob.astype(np.float64)
    through = np.concatenate([np.zeros(1), np.cumsum(logprob)])
    return Continuation(
        np.asarray(target.gold, np.int32),
        _placed(source.gold[first], taught).astype(np.int32),
        _placed(np.exp(np.minimum(through[last + 1] - through[first], logprob[first])), taught),
    )


def _read_the_same(
    target: Distributions, source: Distributions, rows: NDArray[np.int32]
) -> NDArray[np.bool_]:
    whole = np.repeat(target.exact & source.exact, np.diff(target.windows))
    aligned = np.flatnonzero((rows >= 0) & whole)
    same = source.read_to[rows[aligned]] == target.read_to[aligned]
    out = np.zeros(len(rows), bool)
    out[aligned[same]] = True
    return out


def _row_that_completes(
    target: Distributions, source: Distributions, taught: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The source row whose next token reaches the end of the target's next token, per row of `taught`.

    Both models read the window's exact bytes, so there is such a row in it.
    """
    found = np.searchsorted(source.predicts_to, target.predicts_to[taught], side="left")
    last = np.repeat(source.windows[1:] - 1, np.diff(target.windows))[taught]
    return np.minimum(found, last).astype(np.int64)


def _placed(values: NDArray[np.generic], taught: NDArray[np.bool_]) -> NDArray[np.float64]:
    out = np.zeros(len(taught))
    out[taught] = values
    return out
