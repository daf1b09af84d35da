"""Vocabulary maps against the plain way: every token against every other, then the first of the nearest.

The plain way compares with rapidfuzz (`cdist`, compiled) what no dictionary matches, and takes `argmin` over
the target's vocabulary; for the prefix map it asks the tokenizer for one token after the other. It is timed
on a sample of the tokens without an exact match, evenly spaced, and extrapolated by their number; what it
finds for them is compared with ours. Two tokenizers of 32,000 tokens are trained on Python's own library;
real ones are measured where folders of models are given.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein
from transformers import PreTrainedTokenizerFast

from benchmarks.measure import Case, Row, alternate, real_models
from benchmarks.vocabularies import byte_level, marked
from fusion.models import load_tokenizer
from fusion.spelling import map_spelling, spellings
from fusion.tokens import TokenTable, token_table
from fusion.vocabulary import VocabularyMap, map_exact, map_minimum_edit, map_prefix

THRESHOLD = 0.34
Pair = tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast]  # source, target
Queries = NDArray[np.int64]


def cases(quick: bool) -> Iterator[Case]:
    """Three maps between trained tokenizers, and between real ones."""
    size, characters = (2_000, 500_000) if quick else (32_000, 12_000_000)
    yield from _maps(lambda: (marked(size, characters), byte_level(size, characters)), quick)
    if folders := real_models():
        for source in folders[1:]:
            yield from _maps(partial(_load, source, folders[0]), quick)


def _load(source: Path, target: Path) -> Pair:
    return load_tokenizer(source), load_tokenizer(target)


def _maps(pair: Callable[[], Pair], quick: bool) -> Iterator[Case]:
    yield partial(_edits_in_bytes, pair, quick)
    yield partial(_edits_in_spelling, pair, quick)
    yield partial(_prefix, pair, quick)


def _edits_in_bytes(pair: Callable[[], Pair], quick: bool) -> Row:
    source, target = (token_table(tokenizer) for tokenizer in pair())
    exact = map_exact(source, target)
    rest = np.array([i for i in np.flatnonzero(exact.target_ids < 0).tolist() if source.is_text(i)])
    texts = [piece.decode("latin-1") for piece in source.pieces]
    ids = np.array([i for i in range(len(target.pieces)) if target.is_text(i)])
    candidates = [target.pieces[i].decode("latin-1") for i in ids]

    def plain(queries: Queries) -> NDArray[np.int64]:
        return _nearest([texts[i] for i in queries], candidates, ids, THRESHOLD)

    ours = partial(map_minimum_edit, source, target, threshold=THRESHOLD)
    return _row(f"map by edits in bytes, {_sizes(source, target)}", ours, plain, rest, quick)


def _edits_in_spelling(pair: Callable[[], Pair], quick: bool) -> Row:
    source, target = (spellings(tokenizer) for tokenizer in pair())
    texts, known = source.like(target), set(target.pieces)
    rest = np.array([i for i, text in enumerate(texts) if text and text not in known])
    ids = np.array([i for i, piece in enumerate(target.pieces) if piece])
    candidates = [target.pieces[i] for i in ids]

    def plain(queries: Queries) -> NDArray[np.int64]:
        return _nearest([texts[i] for i in queries], candidates, ids, None)

    name = f"map by edits in spelling, {len(texts):,} to {len(target.pieces):,}"
    return _row(name, partial(map_spelling, source, target), plain, rest, quick)


def _prefix(pair: Callable[[], Pair], quick: bool) -> Row:
    source, target = (token_table(tokenizer) for tokenizer in pair())
    tokenizer = pair()[1]
    exact = map_exact(source, target)
    rest = np.array([i for i in np.flatnonzero(exact.target_ids < 0).tolist() if source.is_text(i)])

    def plain(queries: Queries) -> NDArray[np.int64]:
        return np.array([_first_token(source.pieces[i], tokenizer) for i in queries])

    name = f"map by first token written, {_sizes(source, target)}"
    return _row(name, partial(map_prefix, source, target, tokenizer), plain, rest, quick)


def _row(
    case: str,
    ours: Callable[[], VocabularyMap],
    plain: Callable[[Queries], NDArray[np.int64]],
    rest: Queries,
    quick: bool,
) -> Row:
    sample = rest[:: max(len(rest) // (64 if quick else 512), 1)]
    seconds, sampled = alternate(ours, partial(plain, sample), 1)
    agreed = int((ours().target_ids[sample] == plain(sample)).sum())
    return Row(
        case=case,
        ours="one search over both vocabularies" if "edits" in case else "one batch for the tokenizer",
        reference="cdist + argmin" if "edits" in case else "tokenizer called per token",
        seconds=seconds,
        reference_seconds=sampled * len(rest) / len(sample),
        bar="32k within 1 s, 262k to 49k within 20 s" if "edits" in case else "",
        extra={
            "tokens without exact match": len(rest),
            "of these sampled for the reference": len(sample),
            "of the sample mapped alike": agreed,
        },
    )


def _nearest(
    queries: list[str], candidates: list[str], ids: NDArray[np.int64], threshold: float | None
) -> NDArray[np.int64]:
    lengths = np.array([len(c) for c in candidates])
    out = np.empty(len(queries), np.int64)
    for start in range(0, len(queries), 128):  # bounds the matrix
        part = queries[start : start + 128]
        edits = process.cdist(part, candidates, scorer=Levenshtein.distance, dtype=np.int32)
        if threshold is not None:
            longer = np.maximum(lengths, np.array([len(q) for q in part])[:, None])
            edits = np.where(edits <= threshold * longer + 1e-9, edits, np.iinfo(np.int32).max)
        best = edits.argmin(1)
        none = edits[np.arange(len(part)), best] == np.iinfo(np.int32).max
        out[start : start + 128] = np.where(none, -1, ids[best])
    return out


def _first_token(piece: bytes, tokenizer: PreTrainedTokenizerFast) -> int:
    text = piece.decode(errors="ignore")
    found = tokenizer(text, add_special_tokens=False)["input_ids"]
    return int(found[0]) if found else -1


def _sizes(source: TokenTable, target: TokenTable) -> str:
    return f"{len(source.pieces):,} to {len(target.pieces):,}"
