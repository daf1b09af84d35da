"""The method."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.pipeline.steps.write_windows import WindowText, token_table_of
from harness.suite.spec import FusionSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusion.distributions import Distributions
    from fusion.functions import Fused
    from fusion.projection import Projected
    from fusion.shards import DistributionStore
    from fusion.spelling import Spellings
    from fusion.tokens import Encoding
    from fusion.vocabulary import VocabularyMap


def _map(source: Path, target: Path, spec: FusionSpec) -> "VocabularyMap":
    from fusion.errors import FusionError
    from fusion.models import load_tokenizer
    from fusion.spelling import map_same_spelling, map_spelling
    from fusion.vocabulary import map_exact, map_minimum_edit, map_prefix

    if spec.compare == "spelling":
        if spec.vocabulary not in ("em", "mined"):
            raise FusionError(
                f"no vocabulary map {spec.vocabulary!r} by spelling, only em and mined",
                remedy="set fusion.compare to bytes, or fusion.vocabulary to em or mined",
            )
        pair = _spellings(source), _spellings(target)
        return map_same_spelling(*pair) if spec.vocabulary == "em" else map_spelling(*pair)
    tables = token_table_of(source), token_table_of(target)
    if spec.vocabulary == "em":
        return map_exact(*tables)
    if spec.vocabulary == "prefix":
        return map_prefix(*tables, load_tokenizer(target))
    return map_minimum_edit(*tables, threshold=spec.vocabulary_threshold)


def _spellings(folder: Path) -> "Spellings":
    from fusion.models import load_tokenizer, vocabulary_size
    from fusion.spelling import spellings

    return spellings(load_tokenizer(folder), vocabulary_size(folder))


class _Aligner:
    """Aligns the windows of a block as the suite says; `folders` are the target's and the source's."""

    def __init__(self, spec: FusionSpec, folders: tuple[Path, Path], vocabulary: "VocabularyMap") -> None:
        self.spec = spec
        self.mapped = vocabulary if spec.alignment == "mined" else None
        by_edits = spec.alignment != "end_byte"
        spelled = by_edits and spec.compare == "spelling"
        target, source = folders
        self.spellings = (_spellings(target), _spellings(source)) if spelled else None
        self.tables = (token_table_of(target), token_table_of(source)) if by_edits and not spelled else None

    def block(self, ours: "Distributions", theirs: "Distributions") -> "NDArray[np.int32]":
        """Rows of the block's source, -1 for none, numbered within the block."""
        from fusion.alignment import align_end_byte, align_windows

        if self.spec.alignment == "end_byte":
            return align_end_byte(ours.read_to, theirs.read_to)
        return align_windows(ours, theirs, self._window)

    def _window(self, ours: "Encoding", theirs: "Encoding") -> "NDArray[np.int32]":
        from fusion.alignment import align_em, align_mined
        from fusion.fusellm_release import align_release

        ids = ours.input_ids, theirs.input_ids
        if self.spellings is not None:
            return align_release(*ids, *self.spellings, self.mapped)
        assert self.tables is not None
        if self.mapped is None:
            return align_em(*ids, *self.tables)
        return align_mined(*ids, *self.tables, self.mapped)


def _project(
    ours: "Distributions",
    theirs: "Distributions",
    rows: "NDArray[np.int32]",
    vocabulary: "VocabularyMap",
    spec: FusionSpec,
) -> "Projected":
    """A block of the source at the target's rows, as the suite says; `rows` are numbered within the block."""
    from fusion.next_token import follow_text
    from fusion.projection import project

    return project(
        theirs.ids,
        theirs.logprobs,
        theirs.leftover,
        rows,
        vocabulary,
        continuation=follow_text(ours, theirs, rows) if spec.next_token == "text" else None,
        duplicates=spec.duplicates,
    )


@dataclass(frozen=True)
class _Teacher:
    """One model that takes part in the fusion: its store, map, and its rows (None: the target itself)."""

    name: str
    store: "DistributionStore"
    vocabulary: "VocabularyMap"
    rows: "NDArray[np.int64] | None"
    unknown: int | None  # its unk token

    def rows_of(self, target: "DistributionStore", start: int, stop: int) -> "NDArray[np.int32]":
        """Rows of the block [start, stop) of windows, numbered within it."""
        here = slice(int(target.windows[start]), int(target.windows[stop]))
        if self.rows is None:
            return np.arange(here.stop - here.start, dtype=np.int32)
        rows = self.rows[here]
        return np.where(rows >= 0, rows - self.store.windows[start], -1).astype(np.int32)


def _width(teachers: Sequence[_Teacher], spec: FusionSpec) -> int:
    """Entries of a fused row: MinCE takes one model's, AvgCE unites them."""
    moved = spec.next_token == "text"
    widths = [t.store.top_k + (moved and t.rows is not None) for t in teachers]
    return max(widths) if spec.function == "mince" else sum(widths)


def _fuse_block(
    ours: "DistributionStore",
    teachers: Sequence[_Teacher],
    qualities: "NDArray[np.float64] | None",
    windows: tuple[int, int],
    spec: FusionSpec,
) -> "Fused":
    from fusion.functions import avgce, mince, token_quality

    block = ours.block(*windows)
    models, by_token = [], []
    for teacher in teachers:
        theirs = block if teacher.rows is None else teacher.store.block(*windows)
        rows = teacher.rows_of(ours, *windows)
        own = spec if teacher.rows is not None else spec.model_copy(update={"next_token": "vocabulary"})
        models.append(_project(block, theirs, rows, teacher.vocabulary, own))
        if qualities is None:
            by_token.append(token_quality(theirs, rows, spec.quality, unknown=teacher.unknown))
    if qualities is None:
        quality = np.stack(by_token)
    else:
        quality = np.repeat(qualities[:, windows[0] : windows[1]], np.diff(block.windows), axis=1)
    if spec.function == "mince":
        return mince(models, quality)
    return avgce(models, quality, weights=spec.avgce_weights)


def _window_quality(
    teachers: Sequence[_Teacher], windows: Sequence[WindowText], spec: FusionSpec
) -> "NDArray[np.float64]":
    """How well each model predicts the group of every window [M, W]; lower is better.

    All models are judged on the same bytes: windows count from the first byte that each of them can score.
    """
    from fusion.distributions import WindowScores, common_start, window_nll
    from fusion.functions import group_quality

    found: list[list[WindowScores]] = [[] for _ in teachers]
    for start, stop in teachers[0].store.blocks():
        blocks = [t.store.block(start, stop) for t in teachers]
        first_byte = common_start(blocks)
        for scores, block, teacher in zip(found, blocks, teachers, strict=True):
            scores.append(window_nll(block, first_byte, unknown=teacher.unknown))
    by_document = np.unique([w.document for w in windows], return_inverse=True)[1]
    groups = by_document if spec.granularity == "document" else np.arange(len(windows))
    pooled = [WindowScores(*map(np.concatenate, zip(*scores, strict=True))) for scores in found]
    return np.stack([group_quality(scores, groups, spec.quality)[groups] for scores in pooled])
