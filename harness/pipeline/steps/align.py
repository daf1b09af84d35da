"""The stage `alignment`: for each row of the target the source's row at the same place of the text."""

import numpy as np

from fusion.coverage import CoverageCount
from fusion.method import _Aligner, _project
from harness.pipeline.stage import Context, Folder
from harness.pipeline.steps.extract_distributions import _open
from harness.pipeline.steps.map_vocabulary import _read_map
from harness.pipeline.steps.write_windows import read_windows
from harness.pipeline.store import Draft
from harness.suite.spec import FusionSpec


def align(
    draft: Draft,
    context: Context,
    *,
    names: tuple[str, str],
    folders: tuple[Folder, Folder],
    spec: FusionSpec,
) -> None:
    """For each row of the target the source's row that speaks of the same place, or -1.

    `names` and `folders` are the target's and the source's. Rows are numbered over the whole corpus.
    """
    target, source = names
    ours, theirs = _open(context, target), _open(context, source)
    vocabulary = _read_map(context.folder(f"vocabulary:{source}"))
    vocabulary.check(theirs.vocabulary_size, ours.vocabulary_size)
    aligner = _Aligner(spec, (folders[0](context), folders[1](context)), vocabulary)
    parts = [w.part for w in read_windows(context)]
    coverage, pieces = CoverageCount(), [np.empty(0, np.int64)]
    for start, stop in ours.blocks():
        a, b = ours.block(start, stop), theirs.block(start, stop)
        rows = aligner.block(a, b)
        coverage.add(rows, a, b, vocabulary, _project(a, b, rows, vocabulary, spec), parts[start:stop])
        pieces.append(np.where(rows >= 0, rows + theirs.windows[start], -1))
        context.report(f"{source} to {target}", stop, len(ours.closed))
    np.save(draft.folder / "rows.npy", np.concatenate(pieces))
    draft.facts["coverage"] = coverage.percent()
