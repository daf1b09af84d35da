"""The stage `vocabulary`: which target token each source token stands for."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fusion.method import _map
from harness.pipeline.stage import Context, Folder
from harness.pipeline.store import Draft
from harness.suite.spec import FusionSpec

if TYPE_CHECKING:
    from fusion.vocabulary import VocabularyMap


def map_vocabulary(
    draft: Draft, context: Context, *, source: Folder, target: Folder, spec: FusionSpec
) -> None:
    """Which target token each source token stands for."""
    context.report("mapping tokens", 0, 1)
    found = _map(source(context), target(context), spec)
    np.save(draft.folder / "target_ids.npy", found.target_ids)
    np.save(draft.folder / "distance.npy", found.distance)
    mapped = int((found.target_ids >= 0).sum())
    draft.facts |= {"tokens": len(found.target_ids), "mapped_percent": 100 * mapped / len(found.target_ids)}


def _read_map(folder: Path) -> "VocabularyMap":
    from fusion.vocabulary import VocabularyMap

    return VocabularyMap(np.load(folder / "target_ids.npy"), np.load(folder / "distance.npy"))
