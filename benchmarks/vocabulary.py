"""Vocabulary maps, against comparing every source token with every target token.

The reference compares tokens without an exact match by rapidfuzz (`cdist`, compiled) and takes `argmin` over
the target's vocabulary. With a threshold, `cdist` gets a `score_cutoff` (for tokens of one length at a time)
and stops early on distant pairs. For the prefix map, the reference calls the tokenizer once per token. The
reference is timed on an evenly spaced sample of the tokens without an exact match and extrapolated to all of
them, as the row says; the tokens that it finds are compared with ours.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein
from transformers import PreTrainedTokenizerFast

from benchmarks.measure import Bar, Row, alternate
from benchmarks.vocabularies import Pair, pairs
from fusion.spelling import map_spelling, spellings
from fusion.tokens import TokenTable, token_table
from fusion.vocabulary import VocabularyMap, map_exact, map_minimum_edit, map_prefix

THRESHOLD = 0.34
LIMITS = (  # largest time allowed in s for a map by edit distance, by ranges of source and target size
    (range(31_000, 34_000), range(31_000, 34_000), 1.0),
    (range(255_000, 265_000), range(48_000, 51_000), 20.0),
)
FAR = np.iinfo(np.int32).max
PART = 128  # tokens compared at a time, to limit the size of the matrix
Queries = NDArray[np.int64]


@dataclass(frozen=True)
class Comparison:
    """How ours makes a complete map, and how the reference maps any given source tokens."""

    case: str
    ours: str
    reference: str
    make: Callable[[], VocabularyMap]
    plain: Callable[[Queries], NDArray[np.int64]]  # ids of source tokens -> ids of target tokens, -1 for none
    rest: Queries  # source tokens without an exact match
    sizes: tuple[int, int]  # of source and target


def cases(quick: bool, models: Sequence[Path]) -> Iterator[Row]:
    """Three maps between the tokenizers trained here, and between real ones."""
    size, characters, sample = (1_000, 100_000, 32) if quick else (32_000, 12_000_000, 512)
    for number, (name, pair) in enumerate(pairs(size, characters, models)):
        for comparison in (_edits_in_bytes, _edits_in_spelling, _prefix):
            yield _measured(comparison(name, pair), sample, warmed=number > 0)


def _measured(c: Comparison, size: int, warmed: bool) -> Row:
    """`warmed`: the same code has already run on another pair, so it is not called once before timing."""
    sample = c.rest[:: max(len(c.rest) // size, 1)]
    ours, plain = alternate(c.make, partial(c.plain, sample), rounds=1, warmed=warmed)
    alike = int((ours.result.target_ids[sample] == plain.result).sum())
    limit = _limit(*c.sizes) if "edits" in c.case else None
    return Row(
        case=f"{c.case}, {c.sizes[0]:,} to {c.sizes[1]:,}",
        ours=c.ours,
        reference=f"{c.reference} (timed on {len(sample):,} of {len(c.rest):,} tokens, extrapolated)",
        seconds=ours.seconds,
        reference_seconds=plain.seconds * len(c.rest) / len(sample),
        bars=(Bar("s", "at most", limit, ours.seconds),) if limit else (),
        outputs_agree=alike == len(sample) if "edits" in c.case else None,
        counted={
            "tokens without exact match": len(c.rest),
            "of these timed for the reference": len(sample),
            "of these mapped alike": alike,
        },
    )


def _limit(source: int, target: int) -> float | None:
    return next((limit for s, t, limit in LIMITS if source in s and target in t), None)


# --- three maps


def _edits_in_bytes(name: str, pair: Pair) -> Comparison:
    source, target = (token_table(tokenizer) for tokenizer in pair)
    texts = [piece.decode("latin-1") for piece in source.pieces]
    ids = np.array([i for i in range(len(target.pieces)) if target.is_text(i)])
    candidates = [target.pieces[i].decode("latin-1") for i in ids]
    return Comparison(
        case=f"map by edits in bytes, threshold {THRESHOLD}, {name}",
        ours="one search over both vocabularies",
        reference="cdist with score_cutoff, argmin",
        make=partial(map_minimum_edit, source, target, threshold=THRESHOLD),
        plain=lambda queries: _nearest_within([texts[i] for i in queries], candidates, ids),
        rest=_unmatched(source, target),
        sizes=(len(source.pieces), len(target.pieces)),
    )


def _edits_in_spelling(name: str, pair: Pair) -> Comparison:
    source, target = (spellings(tokenizer) for tokenizer in pair)
    texts, known = source.like(target), set(target.pieces)
    ids = np.array([i for i, piece in enumerate(target.pieces) if piece])
    candidates = [target.pieces[i] for i in ids]
    return Comparison(
        case=f"map by edits in spelling, {name}",
        ours="one search over both vocabularies",
        reference="cdist, argmin",
        make=partial(map_spelling, source, target),
        plain=lambda queries: _nearest([texts[i] for i in queries], candidates, ids),
        rest=np.array([i for i, text in enumerate(texts) if text and text not in known]),
        sizes=(len(texts), len(target.pieces)),
    )


def _prefix(name: str, pair: Pair) -> Comparison:
    source, target = (token_table(tokenizer) for tokenizer in pair)
    return Comparison(
        case=f"map by first token written, {name}",
        ours="one batch for the tokenizer",
        reference="tokenizer called per token",
        make=partial(map_prefix, source, target, pair[1]),
        plain=lambda queries: np.array([_first_token(source.pieces[i], pair[1]) for i in queries]),
        rest=_unmatched(source, target),
        sizes=(len(source.pieces), len(target.pieces)),
    )


def _unmatched(source: TokenTable, target: TokenTable) -> Queries:
    found = map_exact(source, target).target_ids
    return np.array([i for i in np.flatnonzero(found < 0).tolist() if source.is_text(i)])


# --- references


def _nearest(queries: list[str], candidates: list[str], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    out = np.empty(len(queries), np.int64)
    for start in range(0, len(queries), PART):
        part = queries[start : start + PART]
        edits = process.cdist(part, candidates, scorer=Levenshtein.distance, dtype=np.int32)
        out[start : start + PART] = ids[edits.argmin(1)]
    return out


def _nearest_within(queries: list[str], candidates: list[str], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """As `_nearest`, among candidates with distance / longer length <= THRESHOLD; -1 for none.

    For a query of length n, such a candidate has at most length n / (1 - THRESHOLD), since the lengths differ
    by no more than the distance. This gives the cutoff for all queries of one length.
    """
    lengths, out = np.array([len(c) for c in candidates]), np.empty(len(queries), np.int64)
    sizes = np.array([len(q) for q in queries])
    for size in np.unique(sizes).tolist():
        cutoff = int(THRESHOLD * size / (1 - THRESHOLD) + 1e-9)
        allowed = np.minimum(THRESHOLD * np.maximum(lengths, size) + 1e-9, cutoff)
        same = np.flatnonzero(sizes == size)
        for places in (same[a : a + PART] for a in range(0, len(same), PART)):
            edits = process.cdist(
                [queries[i] for i in places], candidates,
                scorer=Levenshtein.distance, score_cutoff=cutoff, dtype=np.int32,
            )  # fmt: skip
            edits[edits > allowed] = FAR
            best = edits.argmin(1)
            out[places] = np.where(edits[np.arange(len(places)), best] == FAR, -1, ids[best])
    return out


def _first_token(piece: bytes, tokenizer: PreTrainedTokenizerFast) -> int:
    text = piece.decode(errors="ignore")
    found = tokenizer(text, add_special_tokens=False)["input_ids"]
    return int(found[0]) if found else -1
