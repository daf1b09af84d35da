"""The bodies of the stages from distributions to fused rows: read files, call `fusion`, write files.

Everything but the vocabulary maps is taken in blocks of windows, so that no corpus is too long for memory.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fusion.coverage import AttributionCount
from fusion.method import _fuse_block, _Teacher, _width, _window_quality
from harness.pipeline.stage import Context
from harness.pipeline.steps.extract_distributions import _open
from harness.pipeline.steps.fused_rows import TeacherWriter
from harness.pipeline.steps.map_vocabulary import _read_map
from harness.pipeline.steps.write_windows import read_windows
from harness.pipeline.store import Draft
from harness.suite.spec import FusionSpec

ATTRIBUTION_FILE = "attribution.parquet"


def fuse(draft: Draft, context: Context, *, spec: FusionSpec, target: str, sources: Sequence[str]) -> None:
    """One distribution per row of the target, and which model taught how much of it."""
    ours = _open(context, target)
    windows = read_windows(context)
    teachers = list(_teachers(context, spec, target, sources))
    qualities = None if spec.granularity == "token" else _window_quality(teachers, windows, spec)
    writer = TeacherWriter(draft.folder, ours.windows, _width(teachers, spec), ours.vocabulary_size)
    attribution = AttributionCount([t.name for t in teachers])
    for start, stop in ours.blocks():
        fused = _fuse_block(ours, teachers, qualities, (start, stop), spec)
        writer.write(int(ours.windows[start]), fused)
        offsets = ours.windows[start : stop + 1] - ours.windows[start]
        places = [(w.document, w.part) for w in windows[start:stop]]
        attribution.add(fused.winner, fused.share, places, offsets)
        context.report("fusing rows", stop, len(windows))
    writer.close()
    _write_attribution(draft.folder / ATTRIBUTION_FILE, attribution)
    draft.facts |= attribution.percent()


def _teachers(context: Context, spec: FusionSpec, target: str, sources: Sequence[str]) -> Iterator[_Teacher]:
    from fusion.vocabulary import VocabularyMap

    if spec.include_target:
        ours = _open(context, target)
        yield _Teacher(
            target, ours, VocabularyMap.identity(ours.vocabulary_size), None, _unknown(context, target)
        )
    for source in sources:
        rows = np.load(context.folder(f"alignment:{source}") / "rows.npy", mmap_mode="r")
        vocabulary = _read_map(context.folder(f"vocabulary:{source}"))
        yield _Teacher(source, _open(context, source), vocabulary, rows, _unknown(context, source))


def _unknown(context: Context, name: str) -> int | None:
    """The model's unk token, as the stage of its distributions noted it."""
    token: int | None = context.inputs[f"distributions:{name}"].facts["unknown_token"]
    return token


def _write_attribution(path: Path, attribution: AttributionCount) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(attribution.by_document()), path)
