"""Registry of vocabulary maps by name (`Method.vocabulary`).

A new one is a function and a line in `VOCABULARY_MAPS`. Functions import what they need when they are called,
so that reading the names imports nothing heavy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fusion.errors import FusionError

if TYPE_CHECKING:
    from fusion.model_vocabulary import ModelVocabulary
    from fusion.vocabulary import VocabularyMap

    Mapper = Callable[[ModelVocabulary, ModelVocabulary, "MapChoices"], VocabularyMap]  # source, target


class MapChoices(Protocol):
    """The fields of `fusion.method.Method` that a vocabulary map reads."""

    @property
    def vocabulary(self) -> str: ...
    @property
    def vocabulary_threshold(self) -> float: ...
    @property
    def compare(self) -> str: ...


@dataclass(frozen=True)
class MapRule:
    """How a named map is made: from the tokens' bytes and, if it has that form, from their spelling.

    seconds: time for two vocabularies of 100,000 tokens, for cost estimates.
    """

    by_bytes: "Mapper"
    by_spelling: "Mapper | None" = None
    seconds: float = 2.0


def _exact(source: "ModelVocabulary", target: "ModelVocabulary", _: MapChoices) -> "VocabularyMap":
    from fusion.vocabulary import map_exact

    return map_exact(source.table, target.table)


def _exact_spelling(source: "ModelVocabulary", target: "ModelVocabulary", _: MapChoices) -> "VocabularyMap":
    from fusion.spelling import map_same_spelling

    return map_same_spelling(source.spellings, target.spellings)


def _minimum_edit(
    source: "ModelVocabulary", target: "ModelVocabulary", method: MapChoices
) -> "VocabularyMap":
    from fusion.vocabulary import map_minimum_edit

    return map_minimum_edit(source.table, target.table, threshold=method.vocabulary_threshold)


def _minimum_edit_spelling(
    source: "ModelVocabulary", target: "ModelVocabulary", _: MapChoices
) -> "VocabularyMap":
    from fusion.spelling import map_spelling

    return map_spelling(source.spellings, target.spellings)


def _prefix(source: "ModelVocabulary", target: "ModelVocabulary", _: MapChoices) -> "VocabularyMap":
    from fusion.vocabulary import map_prefix

    return map_prefix(source.table, target.table, target.tokenizer)


VOCABULARY_MAPS: dict[str, MapRule] = {
    "em": MapRule(_exact, _exact_spelling),
    "mined": MapRule(_minimum_edit, _minimum_edit_spelling, seconds=20.0),
    "prefix": MapRule(_prefix, seconds=10.0),
}


def by_spelling() -> tuple[str, ...]:
    """Names of the maps that can be made from spellings."""
    return tuple(name for name, rule in VOCABULARY_MAPS.items() if rule.by_spelling)


def map_vocabulary(
    source: "ModelVocabulary", target: "ModelVocabulary", method: MapChoices
) -> "VocabularyMap":
    """Make the map that `method` names. Raises FusionError for a map without a form by spelling."""
    rule = VOCABULARY_MAPS[method.vocabulary]
    if method.compare == "bytes":
        return rule.by_bytes(source, target, method)
    if rule.by_spelling is None:
        raise FusionError(
            f"no vocabulary map {method.vocabulary!r} by spelling, only {' and '.join(by_spelling())}",
            remedy=f"set compare to bytes, or vocabulary to {' or '.join(by_spelling())}",
        )
    return rule.by_spelling(source, target, method)
