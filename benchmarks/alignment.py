"""Aligning one window against a straightforward implementation: a table of Python numbers, pair by pair.

Windows are pieces of Python's own library, read by two tokenizers trained on it, and cut to the same number
of tokens on both sides. The plain dynamic programme asks rapidfuzz for each pair's distance and keeps the
whole table; the plain end-byte alignment looks ends up in a dictionary. Paths are compared.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from transformers import PreTrainedTokenizerFast

from benchmarks.measure import Case, Row, alternate, cpu_seconds, real_models
from benchmarks.vocabularies import byte_level, library_text, marked
from fusion.alignment import align_end_byte, cost_table, edit_path
from fusion.models import load_tokenizer
from fusion.spelling import spellings
from fusion.tokens import token_spans, token_table

Pair = tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast]  # source, target
Sequences = tuple[list[str], list[str]]


def cases(quick: bool) -> Iterator[Case]:
    """The path through windows of growing length, and rows by end byte."""
    size, characters = (1_000, 200_000) if quick else (8_000, 4_000_000)
    pairs: list[Callable[[], Pair]] = [lambda: (marked(size, characters), byte_level(size, characters))]
    if folders := real_models():
        pairs += [partial(_load, source, folders[0]) for source in folders[1:]]
    for pair in pairs:
        for length in (64,) if quick else (512, 2048):
            yield partial(_path, pair, length)
        yield partial(_end_byte, pair, 64 if quick else 2048)


def _load(source: Path, target: Path) -> Pair:
    return load_tokenizer(source), load_tokenizer(target)


def _path(pair: Callable[[], Pair], length: int) -> Row:
    source, target = _spelled(pair(), length)
    seconds, plain = alternate(partial(edit_path, source, target), partial(_plain_path, source, target), 1)
    ours = min(cpu_seconds(partial(edit_path, source, target)) for _ in range(9))
    costs = min(cpu_seconds(partial(cost_table, source, target)) for _ in range(9))
    same = edit_path(source, target)[0].tolist() == _plain_path(source, target)
    return Row(
        case=f"cheapest path, {length} x {length} tokens",
        ours="costs of distinct pairs, compiled table",
        reference="Python table, rapidfuzz per pair",
        seconds=min(seconds, ours),
        reference_seconds=plain,
        bar="2048 x 2048 within 25 ms",
        extra={"ms for costs": 1e3 * costs, "ms for the table": 1e3 * (ours - costs), "same path": str(same)},
    )


def _spelled(pair: Pair, length: int) -> Sequences:
    text = library_text(length * 12)
    out = []
    for tokenizer in pair:
        names = spellings(tokenizer)
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"][:length]
        out.append([names.bare(i) for i in ids])
    return out[0], out[1]


def _plain_path(source: list[str], target: list[str]) -> list[list[int]]:
    """The table as in a textbook; of equal ways the diagonal first, then up, then left."""
    table: list[list[float]] = []
    ways: list[list[int]] = []
    for i, s in enumerate(source):
        table.append([])
        ways.append([])
        for j, t in enumerate(target):
            before = (
                table[i - 1][j - 1] if i and j else np.inf,
                table[i - 1][j] if i else np.inf,
                table[i][j - 1] if j else np.inf,
            )
            least = min(before)
            ways[i].append(before.index(least))
            table[i].append(Levenshtein.distance(s, t) + (least if i or j else 0))
    i, j, path = len(source) - 1, len(target) - 1, []
    while i or j:
        path.append([i, j])
        way = ways[i][j]
        i, j = i - (way != 2), j - (way != 1)
    return [[0, 0], *path[::-1]]


def _end_byte(pair: Callable[[], Pair], length: int) -> Row:
    text = library_text(length * 3)
    theirs, ours = (token_spans(t, token_table(t), text).ends[:length] for t in pair())
    seconds, plain = alternate(
        partial(_often, align_end_byte, ours, theirs), partial(_often, _plain_rows, ours, theirs)
    )
    same = align_end_byte(ours, theirs).tolist() == _plain_rows(ours, theirs)
    return Row(
        case=f"rows by end byte, {len(ours)} tokens",
        ours="searchsorted",
        reference="dictionary of ends",
        seconds=seconds / REPEATS,
        reference_seconds=plain / REPEATS,
        extra={"same rows": str(same)},
    )


REPEATS = 100


def _often(
    work: Callable[[NDArray[np.int32], NDArray[np.int32]], object],
    ours: NDArray[np.int32],
    theirs: NDArray[np.int32],
) -> None:
    for _ in range(REPEATS):
        work(ours, theirs)


def _plain_rows(ours: NDArray[np.int32], theirs: NDArray[np.int32]) -> list[int]:
    last = {int(end): row for row, end in enumerate(theirs)}
    own = {int(end): row for row, end in enumerate(ours)}
    return [last.get(int(end), -1) if own[int(end)] == row else -1 for row, end in enumerate(ours)]
