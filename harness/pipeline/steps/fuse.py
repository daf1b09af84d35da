"""The stage `fusion`: one fused distribution per row of the target, and the source that it came from.

The corpus is processed in blocks of windows, so that it need not fit into memory.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fusion.coverage import AttributionCount
from fusion.fuse_blocks import Source, fuse_block, fused_width, window_quality
from harness.core.run_files import ATTRIBUTION_FILE
from harness.pipeline.stage import Context
from harness.pipeline.steps.extract_distributions import open_distributions
from harness.pipeline.steps.fused_rows import FusedRowsWriter
from harness.pipeline.steps.map_vocabulary import read_map
from harness.pipeline.steps.write_windows import read_windows
from harness.pipeline.store import Draft

if TYPE_CHECKING:
    from fusion.method import Method


def fuse(draft: Draft, context: Context, *, method: "Method", target: str, sources: Sequence[str]) -> None:
    """Write the fused rows, and the share of each source in them."""
    ours = open_distributions(context, target)
    windows = read_windows(context)
    models = list(_sources(context, method, target, sources))
    qualities = window_quality(models, [w.document for w in windows], method)
    writer = FusedRowsWriter(draft.folder, ours.windows, fused_width(models, method), ours.vocabulary_size)
    attribution = AttributionCount([m.name for m in models])
    for start, stop in ours.blocks():
        fused = fuse_block(ours, models, qualities, (start, stop), method)
        writer.write(int(ours.windows[start]), fused)
        offsets = ours.windows[start : stop + 1] - ours.windows[start]
        places = [(w.document, w.part) for w in windows[start:stop]]
        attribution.add(fused.winner, fused.share, places, offsets)
        context.report("fusing rows", stop, len(windows))
    writer.close()
    _write_attribution(draft.folder / ATTRIBUTION_FILE, attribution)
    draft.facts |= attribution.percent()


def _sources(context: Context, method: "Method", target: str, sources: Sequence[str]) -> Iterator[Source]:
    from fusion.vocabulary import VocabularyMap

    if method.include_target:
        ours = open_distributions(context, target)
        same = VocabularyMap.identity(ours.vocabulary_size)
        yield Source(target, ours, same, None, _unknown(context, target))
    for source in sources:
        rows = np.load(context.folder(f"alignment:{source}") / "rows.npy", mmap_mode="r")
        theirs = open_distributions(context, source)
        yield Source(source, theirs, read_map(context, source), rows, _unknown(context, source))


def _unknown(context: Context, name: str) -> int | None:
    """The model's unk token, as recorded by the stage that extracted its distributions."""
    token: int | None = context.inputs[f"distributions:{name}"].facts["unknown_token"]
    return token


def _write_attribution(path: Path, attribution: AttributionCount) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(attribution.by_document()), path)
