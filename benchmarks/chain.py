"""Fusing two models' distributions, from alignment to fused rows, against a plain Python loop over rows.

Both align by end byte, give the target's next token the probability of its bytes, map entries to target
tokens, add equal ones, and keep the better model of each window (MinCE). The plain loop uses Python lists,
dictionaries and numbers, and only computes the better model's row. Texts are pieces of Python's standard
library; the distributions are random, since the time does not depend on their values. Fused rows are
compared.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Row, alternate
from benchmarks.vocabularies import Pair, library_text, pairs
from fusion.alignment import align_end_byte
from fusion.distributions import Distributions, TopK
from fusion.functions import mince
from fusion.next_token import follow_text
from fusion.projection import Projected, project
from fusion.tokens import encode, token_table
from fusion.vocabulary import VocabularyMap, map_exact

K = 10
CHARACTERS = 1_500  # per window
TOLERANCE = 1e-5  # of probabilities


class Inputs(NamedTuple):
    """Two models' distributions over the same windows, the map between them, and their qualities."""

    target: Distributions
    source: Distributions
    own_map: VocabularyMap
    to_target: VocabularyMap
    quality: NDArray[np.float64]  # [2, rows of the target]


Entries = dict[int, float]  # target token -> probability; empty where the source has no row


def cases(quick: bool, models: Sequence[Path]) -> Iterator[Row]:
    """One row for the tokenizers trained here, and one for each real source."""
    size, characters, windows = (1_000, 100_000, 2) if quick else (8_000, 4_000_000, 60)
    for name, pair in pairs(size, characters, models):
        yield _fused(name, _inputs(pair, windows))


def _fused(name: str, inputs: Inputs) -> Row:
    loop = partial(_loop, inputs, _Plain(inputs.target), _Plain(inputs.source))
    ours, plain = alternate(partial(_arrays, inputs), loop, rounds=2)
    rows = len(inputs.target.gold_logprob)
    return Row(
        case=f"distributions to fused rows, {name}, {rows:,} rows",
        ours="follow_text, project, mince on arrays",
        reference="Python loop over rows",
        seconds=ours.seconds,
        reference_seconds=plain.seconds,
        outputs_agree=_agree(ours.result, plain.result),
        counted={"rows a second": rows / ours.seconds, "reference's": rows / plain.seconds},
    )


def _agree(ours: Projected, plain: list[Entries]) -> bool:
    """Whether every row has the same probabilities for the same tokens, ignoring those of 0."""
    for ids, probabilities, entries in zip(ours.ids, ours.probabilities, plain, strict=True):
        found = {int(i): float(p) for i, p in zip(ids, probabilities, strict=True) if i >= 0}
        tokens = found.keys() | entries.keys()
        if any(abs(found.get(i, 0.0) - entries.get(i, 0.0)) > TOLERANCE for i in tokens):
            return False
    return True


# --- two models' distributions


def _inputs(pair: Pair, windows: int) -> Inputs:
    text = library_text(windows * CHARACTERS)
    texts = [text[a : a + CHARACTERS] for a in range(0, len(text), CHARACTERS)]
    tables = [token_table(tokenizer) for tokenizer in pair]
    read = []
    for seed, (tokenizer, table) in enumerate(zip(pair, tables, strict=True)):
        encodings = [encode(tokenizer, table, t, bos=False, eos=False) for t in texts]
        out = Distributions.create(encodings, [False] * len(texts), k=K, vocabulary_size=len(table.pieces))
        read.append(_drawn(out, len(table.pieces), seed))
    source, target = read
    better = np.random.default_rng(2).random((2, len(texts)))
    quality = np.repeat(better, np.diff(target.windows), axis=1)
    own_map = VocabularyMap.identity(len(tables[1].pieces))
    return Inputs(target, source, own_map, map_exact(*tables), quality)


def _drawn(out: Distributions, vocabulary: int, seed: int) -> Distributions:
    """Random rows of K distinct tokens, the first of which is the ground-truth token."""
    draw, rows = np.random.default_rng(seed), len(out.gold_logprob)
    apart = 1 + draw.integers(0, vocabulary // K, (rows, 1)) + np.arange(K - 1) * (vocabulary // K)
    others = (out.gold[:, None] + np.minimum(apart, vocabulary - 1)) % vocabulary
    mass = draw.dirichlet(np.ones(K + 1), rows).clip(1e-6)
    found = TopK(
        np.concatenate([out.gold[:, None], others], 1).astype(np.int32),
        np.log(mass[:, :K]).astype(np.float16),
        mass[:, K].astype(np.float32),
        np.log(mass[:, 0]).astype(np.float32),
    )
    for window in range(len(out.closed)):
        out.put(window, found.part(out.rows(window)))
    return out


# --- ours, and the plain loop


def _arrays(i: Inputs) -> Projected:
    rows = align_end_byte(i.target.read_to, i.source.read_to)
    theirs = project(
        i.source.ids, i.source.logprobs, i.source.leftover, rows, i.to_target,
        continuation=follow_text(i.target, i.source, rows),
    )  # fmt: skip
    same = np.arange(len(rows), dtype=np.int32)
    own = project(i.target.ids, i.target.logprobs, i.target.leftover, same, i.own_map)
    return mince([own, theirs], i.quality).distribution


def _loop(i: Inputs, target: "_Plain", source: "_Plain") -> list[Entries]:
    row_at = {end: row for row, end in enumerate(source.read_to)}
    to_target = i.to_target.target_ids.tolist()
    out = []
    for row, (own, theirs) in enumerate(i.quality.T.tolist()):
        if own <= theirs:
            out.append(target.entries(row))
        elif (source_row := row_at.get(target.read_to[row])) is None:
            out.append({})
        else:
            out.append(source.spoken(source_row, to_target, target.gold[row], target.predicts_to[row]))
    return out


class _Plain:
    """Distributions as Python's lists, one row at a time."""

    def __init__(self, d: Distributions) -> None:
        self.ids, self.logprobs, self.leftover = d.ids.tolist(), d.logprobs.tolist(), d.leftover.tolist()
        self.gold, self.gold_logprob = d.gold.tolist(), d.gold_logprob.tolist()
        self.read_to, self.predicts_to = d.read_to.tolist(), d.predicts_to.tolist()

    def entries(self, row: int) -> Entries:
        """Tokens and probabilities, scaled to add up to one with the leftover."""
        raised = [math.exp(x) for x in self.logprobs[row]]
        mass = sum(raised) + self.leftover[row]
        return {token: p / mass for token, p in zip(self.ids[row], raised, strict=True)}

    def spoken(self, row: int, to_target: list[int], next_token: int, next_end: int) -> Entries:
        """The row projected onto target tokens; the target's next token gets its bytes' probability."""
        entries, gold = self.entries(row), self.gold[row]
        moved = 0.0
        if to_target[gold] != next_token:
            there = entries.get(gold, max(1 - sum(entries.values()), 0.0))
            moved = min(self._mass_up_to(row, next_end), there)
            if gold in entries:
                entries[gold] -= moved
        out = {next_token: moved} if moved else {}
        for token, probability in entries.items():
            if to_target[token] >= 0:
                out[to_target[token]] = out.get(to_target[token], 0.0) + probability
        return out

    def _mass_up_to(self, row: int, end: int) -> float:
        logprob = self.gold_logprob[row]
        while self.predicts_to[row] < end and row + 1 < len(self.gold):
            row += 1
            logprob += self.gold_logprob[row]
        return math.exp(logprob)
