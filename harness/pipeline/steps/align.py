"""The stage `alignment`: for each row of the target, the row of a source that it is aligned with."""

from typing import TYPE_CHECKING

import numpy as np

from fusion.alignment_rules import aligner
from fusion.coverage import CoverageCount
from fusion.model_vocabulary import ModelVocabulary
from fusion.projection import project_block
from harness.pipeline.stage import Context, Folder
from harness.pipeline.steps.extract_distributions import open_distributions
from harness.pipeline.steps.map_vocabulary import read_map
from harness.pipeline.steps.write_windows import read_windows
from harness.pipeline.store import Draft

if TYPE_CHECKING:
    from fusion.method import Method


def align(
    draft: Draft,
    context: Context,
    *,
    names: tuple[str, str],
    folders: tuple[Folder, Folder],
    method: "Method",
) -> None:
    """Write, for each row of the target, the number of the source's aligned row, or -1.

    `names` and `folders` are the target's and the source's. Rows are numbered over the whole corpus.
    """
    target, source = names
    ours, theirs = open_distributions(context, target), open_distributions(context, source)
    vocabulary = read_map(context, source)
    vocabulary.check(theirs.vocabulary_size, ours.vocabulary_size)
    ours_vocabulary, theirs_vocabulary = (ModelVocabulary(folder(context)) for folder in folders)
    align_block = aligner(ours_vocabulary, theirs_vocabulary, vocabulary, method)
    parts = [w.part for w in read_windows(context)]
    coverage, pieces = CoverageCount(), [np.empty(0, np.int64)]
    for start, stop in ours.blocks():
        a, b = ours.block(start, stop), theirs.block(start, stop)
        rows = align_block(a, b)
        projected = project_block(
            a, b, rows, vocabulary, next_token=method.next_token, duplicates=method.duplicates
        )
        coverage.add(rows, a, b, vocabulary, projected, parts[start:stop])
        pieces.append(np.where(rows >= 0, rows + theirs.windows[start], -1))
        context.report(f"{source} to {target}", stop, len(ours.closed))
    np.save(draft.folder / "rows.npy", np.concatenate(pieces))
    draft.facts["coverage"] = coverage.percent()
