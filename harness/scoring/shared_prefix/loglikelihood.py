"""Log-likelihoods of continuations: each distinct token read once, the head only where a token is scored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache

from harness.scoring.shared_prefix.prefixes import Grow, Read, Shrink, Tokens, plan
from harness.scoring.shared_prefix.reader import Reader, kept, shrink

Score = tuple[float, bool]  # log-likelihood in nats, and whether every token was the likeliest
OnScored = Callable[[int, Score], None]  # (which request, its score), as they come


@dataclass(frozen=True)
class Request:
    """A model's input (context and continuation without its last token), and the continuation's tokens."""

    tokens: Tokens
    continuation: Tokens

    @classmethod
    def of(cls, context: Sequence[int], continuation: Sequence[int], max_length: int) -> "Request":
        """Cut from the left to the model's window, as lm-eval does. A continuation that does not fit has no
        place there."""
        whole = np.asarray([*context, *continuation][-(max_length + 1) :], np.int64)
        return cls(whole[:-1], np.asarray(continuation, np.int64))

    @property
    def free(self) -> int:
        """How many first tokens are only context: from the next on, logits are read."""
        return len(self.tokens) - len(self.continuation)


def score(
    reader: Reader, requests: Sequence[Request], *, pack_tokens: int, logits_at_once: int, done: OnScored
) -> None:
    """Score all requests; `done` is called for each when its pass ends.

    Args:
        pack_tokens: tokens read in one pass.
        logits_at_once: rows of logits held at a time, each as wide as the vocabulary.
    """
    sequences = [r.tokens for r in requests]
    trunk = DynamicCache()
    for step in plan(sequences, [r.free for r in requests], pack_tokens):
        match step:
            case Grow(sequence, start, stop):
                reader.grow(trunk, sequences[sequence][start:stop], pack_tokens)
            case Shrink(length):
                shrink(trunk, length)
            case Read(members, depth):
                with kept(trunk):
                    _read(reader, [requests[i] for i in members], members, trunk, depth, logits_at_once, done)


def _read(
    reader: Reader,
    requests: Sequence[Request],
    names: Sequence[int],
    trunk: DynamicCache,
    depth: int,
    logits_at_once: int,
    done: OnScored,
) -> None:
    hidden, paths = reader.read([r.tokens for r in requests], [r.free for r in requests], trunk, depth)
    places = [path[-len(r.continuation) :] for path, r in zip(paths, requests, strict=True)]
    rows, which = np.unique(np.concatenate(places), return_inverse=True)
    wanted = np.concatenate([r.continuation for r in requests])
    logs, best = _gathered(reader, hidden[reader.tensor(rows)], which, wanted, logits_at_once)
    ends = np.cumsum([len(p) for p in places])[:-1]
    for name, values, greedy in zip(names, np.split(logs, ends), np.split(best, ends), strict=True):
        done(name, (float(values.sum()), bool(greedy.all())))


@torch.inference_mode()
def _gathered(
    reader: Reader, hidden: Tensor, which: NDArray[np.int64], wanted: Tokens, logits_at_once: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Log-probability of each wanted token [M] in the row of `hidden` that `which` [M] names, and whether it
    is the likeliest there; in float32, summed later in float64."""
    logs = np.empty(len(wanted))
    best = np.empty(len(wanted), np.bool_)
    for start in range(0, len(hidden), logits_at_once):
        logits = reader.decoder.logits(hidden[start : start + logits_at_once]).float()
        mine = np.flatnonzero((which >= start) & (which < start + logits_at_once))
        row, token = reader.tensor(which[mine] - start), reader.tensor(wanted[mine])
        logs[mine] = (logits[row, token] - torch.logsumexp(logits, dim=-1)[row]).cpu().numpy()
        best[mine] = (logits.argmax(dim=-1)[row] == token).cpu().numpy()
    return logs, best
