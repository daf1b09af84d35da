"""What a source says of the text that the target reads next, however either of them cuts it.

    R_t, R_s   rows of target and source over the same windows

Two models that have read the same bytes may go on in different tokens: the target's next token may be one
newline with the indentation after it where the source reads the newline alone. Taken through a vocabulary
map, the source then puts its mass on a token that the target never uses there. The mass a source gives to the
target's next token is the probability of that token's *bytes*: the product over the source's tokens that
write them, all of which it has scored. (Likelihoods over chunks of bytes compare tokenizers in the same way
in Minixhofer et al. 2025, "Universal Cross-Tokenizer Distillation via Approximate Likelihood Matching".)
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion.distributions import Distributions
from fusion.errors import FusionError


class Continuation(NamedTuple):
    """Per target row: the tokens that came, and how much of the source's mass belongs to the target's.

    `probability` is what the source gives to the bytes of the target's next token; it is at most what it
    gives to its own next token, from which it is taken. Where a source token ends inside the target's, the
    product runs over the source token that completes it.

    It is 0 where that cannot be said: the row has no source, or one that has read other bytes (which
    `align_em` and `align_mined` allow), or one of the two tokenizers changed the window's text (not `exact`:
    its tokens stand for other bytes, or, unknown, for any).
    """

    target_token: NDArray[np.int32]  # [R_t]
    source_token: NDArray[np.int32]  # [R_t], 0 where there is no source
    probability: NDArray[np.float64]  # [R_t]


def follow_text(target: Distributions, source: Distributions, rows: NDArray[np.int32]) -> Continuation:
    """How each aligned row goes on; rows [R_t] number the source's rows, -1 for none.

    Raises FusionError unless both have read the same number of windows.
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
    """The source's row whose next token reads up to the end of the target's next token, per taught row.

    Both are exact, so there is one in the same window.
    """
    found = np.searchsorted(source.predicts_to, target.predicts_to[taught], side="left")
    last = np.repeat(source.windows[1:] - 1, np.diff(target.windows))[taught]
    return np.minimum(found, last).astype(np.int64)


def _placed(values: NDArray[np.generic], taught: NDArray[np.bool_]) -> NDArray[np.float64]:
    out = np.zeros(len(taught))
    out[taught] = values
    return out
