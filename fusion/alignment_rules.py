"""Registry of alignments by name (`Method.alignment`). A new one is a function and a line in `ALIGNMENTS`.

    R_t, R_s   rows of the target and of a source in a block of windows

Functions import what they need when they are called, so that reading the names imports nothing heavy.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusion.distributions import Distributions
    from fusion.model_vocabulary import ModelVocabulary
    from fusion.tokens import Encoding
    from fusion.vocabulary import VocabularyMap

    # (target, source) of a block -> the source's row for each row of the target, int32 [R_t], -1 for none
    Aligner = Callable[[Distributions, Distributions], NDArray[np.int32]]
    AlignmentRule = Callable[[ModelVocabulary, ModelVocabulary, VocabularyMap, "AlignmentChoices"], Aligner]


class AlignmentChoices(Protocol):
    """The fields of `fusion.method.Method` that an alignment reads."""

    @property
    def alignment(self) -> str: ...
    @property
    def compare(self) -> str: ...


def _end_byte(*_: object) -> "Aligner":
    from fusion.alignment import align_end_byte

    return lambda target, source: align_end_byte(target.read_to, source.read_to)


def _exact(
    target: "ModelVocabulary", source: "ModelVocabulary", _: "VocabularyMap", method: AlignmentChoices
) -> "Aligner":
    return _by_edit_cost(target, source, None, method)


def _by_edit_cost(
    target: "ModelVocabulary",
    source: "ModelVocabulary",
    mapped: "VocabularyMap | None",
    method: AlignmentChoices,
) -> "Aligner":
    """Align windows along the cheapest path: equal tokens, and with a map also tokens that it maps."""
    from fusion.alignment import align_em, align_mined, align_windows
    from fusion.fusellm_release import align_release

    def window(ours: "Encoding", theirs: "Encoding") -> "NDArray[np.int32]":
        ids = ours.input_ids, theirs.input_ids
        if method.compare == "spelling":
            return align_release(*ids, target.spellings, source.spellings, mapped)
        if mapped is None:
            return align_em(*ids, target.table, source.table)
        return align_mined(*ids, target.table, source.table, mapped)

    return lambda ours, theirs: align_windows(ours, theirs, window)


ALIGNMENTS: dict[str, "AlignmentRule"] = {
    "end_byte": _end_byte,
    "em": _exact,
    "mined": _by_edit_cost,
}


def aligner(
    target: "ModelVocabulary",
    source: "ModelVocabulary",
    vocabulary_map: "VocabularyMap",
    method: AlignmentChoices,
) -> "Aligner":
    """The function that aligns blocks of two models as `method` says."""
    return ALIGNMENTS[method.alignment](target, source, vocabulary_map, method)
