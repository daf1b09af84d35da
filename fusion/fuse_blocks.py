"""Fusing of stored distributions, block by block: projection of sources, their qualities, fused rows.

W   windows        R   rows of the target        M   sources, the target before fusion among them
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusion.distributions import WindowScores, common_start, window_nll
from fusion.function_rules import FUSION_FUNCTIONS
from fusion.functions import group_quality, token_quality
from fusion.projection import project_block

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusion.functions import Fused
    from fusion.method import Method
    from fusion.shards import DistributionStore
    from fusion.vocabulary import VocabularyMap


@dataclass(frozen=True)
class Source:
    """One model of the fusion: its distributions, vocabulary map and alignment.

    rows: the aligned row for each row of the target over the whole corpus, -1 for none; None if this source
        is the target itself.
    unknown: its unk token.
    """

    name: str
    store: "DistributionStore"
    vocabulary: "VocabularyMap"
    rows: "NDArray[np.int64] | None"
    unknown: int | None

    def rows_of(self, target: "DistributionStore", start: int, stop: int) -> "NDArray[np.int32]":
        """Aligned rows for the block of windows [start, stop), counted from the start of the block."""
        here = slice(int(target.windows[start]), int(target.windows[stop]))
        if self.rows is None:
            return np.arange(here.stop - here.start, dtype=np.int32)
        rows = self.rows[here]
        return np.where(rows >= 0, rows - self.store.windows[start], -1).astype(np.int32)


def fused_width(sources: Sequence[Source], method: "Method") -> int:
    """Number of entries of a fused row."""
    moved = method.next_token == "text"
    widths = [s.store.top_k + (moved and s.rows is not None) for s in sources]
    return FUSION_FUNCTIONS[method.function].width(widths)


def fuse_block(
    target: "DistributionStore",
    sources: Sequence[Source],
    qualities: "NDArray[np.float64] | None",
    windows: tuple[int, int],
    method: "Method",
) -> "Fused":
    """Fused rows of the windows [start, stop) given in `windows`.

    qualities: [M, W] of all windows, from `window_quality`; None if sources are weighed at each token.
    """
    block = target.block(*windows)
    projected, by_token = [], []
    for source in sources:
        own = block if source.rows is None else source.store.block(*windows)
        rows = source.rows_of(target, *windows)
        projected.append(
            project_block(
                block,
                own,
                rows,
                source.vocabulary,
                next_token="vocabulary" if source.rows is None else method.next_token,
                duplicates=method.duplicates,
            )
        )
        if qualities is None:
            by_token.append(token_quality(own, rows, method.quality, unknown=source.unknown))
    if qualities is None:
        quality = np.stack(by_token)
    else:
        quality = np.repeat(qualities[:, windows[0] : windows[1]], np.diff(block.windows), axis=1)
    return FUSION_FUNCTIONS[method.function].combine(projected, quality, method)


def window_quality(
    sources: Sequence[Source], documents: Sequence[int], method: "Method"
) -> "NDArray[np.float64] | None":
    """Quality of each source at each window [M, W], over its document or the window alone; lower is better.

    All sources are compared on the same bytes: a window counts from the first byte that all of them can
    predict. documents [W]: each window's document. None if sources are weighed at each token.
    """
    if method.granularity == "token":
        return None
    found: list[list[WindowScores]] = [[] for _ in sources]
    for start, stop in sources[0].store.blocks():
        blocks = [s.store.block(start, stop) for s in sources]
        first_byte = common_start(blocks)
        for scores, block, source in zip(found, blocks, sources, strict=True):
            scores.append(window_nll(block, first_byte, unknown=source.unknown))
    by_document = np.unique(np.asarray(documents), return_inverse=True)[1]
    groups = by_document if method.granularity == "document" else np.arange(len(documents))
    pooled = [WindowScores(*map(np.concatenate, zip(*scores, strict=True))) for scores in found]
    return np.stack([group_quality(scores, groups, method.quality)[groups] for scores in pooled])
