"""Alignment of one window, against dynamic programming in plain Python and a dictionary of end bytes.

Windows are pieces of Python's standard library, encoded by two tokenizers (trained on it, or those of real
models) and cut to the same number of tokens on both sides. The reference for the cheapest path calls
rapidfuzz for each pair's distance and keeps the whole table; the reference for end bytes looks them up in a
dictionary. Each is called as often as ours, and the results are compared.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from benchmarks.measure import Bar, Row, alternate
from benchmarks.vocabularies import Pair, library_text, pairs
from fusion.alignment import align_end_byte, cost_table, edit_path
from fusion.spelling import spellings
from fusion.tokens import token_spans, token_table

Ends = NDArray[np.int32]
REPEATS = 100  # of the end-byte alignment, a single call of which is too short to time
LIMITS = {2048: 25.0}  # largest time allowed for the path in ms, by number of tokens per side


def cases(quick: bool, models: Sequence[Path]) -> Iterator[Row]:
    """The cheapest path through windows of increasing length, and alignment by end byte."""
    size, characters = (1_000, 100_000) if quick else (8_000, 4_000_000)
    for name, pair in pairs(size, characters, models):
        for length in (64,) if quick else (512, 2048):
            yield _path(name, pair, length)
        yield _end_byte(name, pair, 64 if quick else 2048)


def _path(name: str, pair: Pair, length: int) -> Row:
    source, target = _spelled(pair, length)
    ours, plain, costs = alternate(
        partial(edit_path, source, target),
        partial(_plain_path, source, target),
        partial(cost_table, source, target),
        rounds=2,
    )
    ms, limit = 1e3 * ours.seconds, LIMITS.get(length)
    return Row(
        case=f"cheapest path, {name}, {length} x {length} tokens",
        ours="costs of distinct pairs, compiled table",
        reference="Python table, rapidfuzz per pair",
        seconds=ours.seconds,
        reference_seconds=plain.seconds,
        bars=(Bar("ms", "at most", limit, ms),) if limit else (),
        outputs_agree=ours.result[0].tolist() == plain.result,
        counted={"ms for costs": 1e3 * costs.seconds, "ms for the table": ms - 1e3 * costs.seconds},
    )


def _spelled(pair: Pair, length: int) -> tuple[list[str], list[str]]:
    text = library_text(length * 12)
    out = []
    for tokenizer in pair:
        names = spellings(tokenizer)
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"][:length]
        out.append([names.bare(i) for i in ids])
    return out[0], out[1]


def _plain_path(source: list[str], target: list[str]) -> list[list[int]]:
    """The textbook table; of equal costs the diagonal first, then up, then left."""
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
    return _walked_back(ways)


def _walked_back(ways: list[list[int]]) -> list[list[int]]:
    i, j, path = len(ways) - 1, len(ways[0]) - 1, []
    while i or j:
        path.append([i, j])
        way = ways[i][j]
        i, j = i - (way != 2), j - (way != 1)
    return [[0, 0], *path[::-1]]


def _end_byte(name: str, pair: Pair, length: int) -> Row:
    text = library_text(length * 3)
    theirs, own = (token_spans(t, token_table(t), text).ends[:length] for t in pair)
    ours, plain = alternate(_often(align_end_byte, own, theirs), _often(_plain_rows, own, theirs))
    return Row(
        case=f"rows by end byte, {name}, {len(own)} tokens",
        ours="searchsorted",
        reference="dictionary of ends",
        seconds=ours.seconds / REPEATS,
        reference_seconds=plain.seconds / REPEATS,
        outputs_agree=ours.result.tolist() == plain.result,
    )


def _often(work: Callable[[Ends, Ends], object], own: Ends, theirs: Ends) -> Callable[[], object]:
    def repeated() -> object:
        return [work(own, theirs) for _ in range(REPEATS)][-1]

    return repeated


def _plain_rows(own: Ends, theirs: Ends) -> list[int]:
    last = {int(end): row for row, end in enumerate(theirs)}
    mine = {int(end): row for row, end in enumerate(own)}
    return [last.get(int(end), -1) if mine[int(end)] == row else -1 for row, end in enumerate(own)]
