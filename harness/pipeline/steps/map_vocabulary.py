"""The stage `vocabulary`: the vocabulary map from a source's tokens to the target's."""

from typing import TYPE_CHECKING

import numpy as np

from fusion.model_vocabulary import ModelVocabulary
from fusion.vocabulary_rules import map_vocabulary as map_tokens
from harness.pipeline.stage import Context, Folder
from harness.pipeline.store import Draft

if TYPE_CHECKING:
    from fusion.method import Method
    from fusion.vocabulary import VocabularyMap


def map_vocabulary(
    draft: Draft, context: Context, *, source: Folder, target: Folder, method: "Method"
) -> None:
    """Write the vocabulary map of a source."""
    context.report("mapping tokens", 0, 1)
    found = map_tokens(ModelVocabulary(source(context)), ModelVocabulary(target(context)), method)
    np.save(draft.folder / "target_ids.npy", found.target_ids)
    np.save(draft.folder / "distance.npy", found.distance)
    mapped = int((found.target_ids >= 0).sum())
    draft.facts |= {"tokens": len(found.target_ids), "mapped_percent": 100 * mapped / len(found.target_ids)}


def read_map(context: Context, source: str) -> "VocabularyMap":
    """The map that this stage has stored for a source."""
    from fusion.vocabulary import VocabularyMap

    folder = context.folder(f"vocabulary:{source}")
    return VocabularyMap(np.load(folder / "target_ids.npy"), np.load(folder / "distance.npy"))
