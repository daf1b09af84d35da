"""The method as one dataclass: every choice, its allowed values, its default and the stage it affects.

Everything that names a choice (a suite's schema, presets, validation, costs, documentation) reads it from
`Method`. The names of `vocabulary`, `alignment` and `function` are in the registries
`fusion.vocabulary_rules`, `fusion.alignment_rules` and `fusion.function_rules`: a new one is a function and a
line there.

This module imports nothing heavy, so that a suite can be checked without loading torch.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt

from fusion.alignment_rules import ALIGNMENTS
from fusion.choices import (
    DEFAULT_AVGCE_WEIGHTS,
    DEFAULT_DUPLICATES,
    MAX_TOP_K,
    AvgceWeights,
    Compare,
    Duplicates,
    Granularity,
    Leftover,
    Loss,
    NextToken,
    Quality,
    Schedule,
    WithoutTeacher,
)
from fusion.errors import FusionError, nearest
from fusion.function_rules import FUSION_FUNCTIONS
from fusion.vocabulary_rules import VOCABULARY_MAPS


@dataclass(frozen=True)
class OneOf:
    """Marks a field whose value is a name in a registry."""

    registry: Mapping[str, object]


@dataclass(frozen=True)
class Decides:
    """Marks a field with the stages whose output depends on its value (possibly none)."""

    stages: frozenset[str]

    def __init__(self, *stages: str) -> None:
        object.__setattr__(self, "stages", frozenset(stages))


@dataclass(frozen=True, kw_only=True)
class Method:
    """All choices of a fusion. Raises FusionError, listing every value that is not allowed."""

    alignment: Annotated[str, OneOf(ALIGNMENTS), Decides("alignment")] = "end_byte"
    vocabulary: Annotated[str, OneOf(VOCABULARY_MAPS), Decides("vocabulary")] = "em"
    # mined: largest edit distance, as a fraction of the longer token's length
    vocabulary_threshold: Annotated[float, Ge(0), Lt(1), Decides("vocabulary")] = 0.34
    # em and mined: compare tokens by their bytes, or by their tokenizers' spelling
    compare: Annotated[Compare, Decides("vocabulary", "alignment")] = "bytes"
    # probability that a source gives to the text's next bytes: goes to the target's next token ("text"), or
    # where the vocabulary map sends it ("vocabulary", the paper's)
    next_token: Annotated[NextToken, Decides("alignment", "fusion")] = "text"
    # several source tokens that map to one target token: add their probabilities, or keep the most likely
    duplicates: Annotated[Duplicates, Decides("alignment", "fusion")] = DEFAULT_DUPLICATES
    function: Annotated[str, OneOf(FUSION_FUNCTIONS), Decides("fusion")] = "mince"
    # softmax(-quality), or the released code's softmax(exp(-quality))
    avgce_weights: Annotated[AvgceWeights, Decides("fusion")] = DEFAULT_AVGCE_WEIGHTS
    # the unit of text over which sources are compared
    granularity: Annotated[Granularity, Decides("fusion")] = "document"
    quality: Annotated[Quality, Decides("fusion")] = "bits_per_byte"
    # whether the target before fusion is one of the sources (paper: yes)
    include_target: Annotated[bool, Decides("fusion")] = True
    # lambda of equation 5; if an end is given, annealed from the first step to the last
    lm_loss_weight: Annotated[float, Ge(0), Le(1), Decides("training")] = 0.9
    lm_loss_weight_end: Annotated[float | None, Ge(0), Le(1), Decides("training")] = None
    lm_loss_weight_schedule: Annotated[Schedule, Decides("training")] = "linear"
    # number of entries kept of each distribution
    top_k: Annotated[int, Ge(1), Le(MAX_TOP_K), Decides("distributions")] = 10
    temperature: Annotated[float, Gt(0), Decides("training")] = 1.0
    loss: Annotated[Loss, Decides("training")] = "ce"
    # probability outside the kept entries: its own entry, or dropped and the rest scaled up (the paper's)
    leftover: Annotated[Leftover, Decides("training")] = "residual"
    # what a position without a fused row learns: the ground-truth token (the paper's), nothing, or the
    # current token (the released code's)
    without_teacher: Annotated[WithoutTeacher, Decides("training")] = "gold"

    def __post_init__(self) -> None:
        named = METHOD_HINTS.items()
        mistakes = [m for name, hint in named if (m := _mistake(name, getattr(self, name), hint))]
        if mistakes:
            raise FusionError("; ".join(mistakes), remedy="give values that fusion.method lists")


def registered(annotation: Any) -> Mapping[str, object] | None:
    """The registry that lists a field's allowed names; None for a field without one."""
    marks = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((mark.registry for mark in marks if isinstance(mark, OneOf)), None)


def choices(annotation: Any) -> Collection[str] | None:
    """The allowed names of a field, given its annotation; None if any value of its type is allowed.

    The annotation is `Annotated[...]` or a bare `Literal[...]`.
    """
    if (registry := registered(annotation)) is not None:
        return tuple(registry)
    plain = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return get_args(plain) if get_origin(plain) is Literal else None


def _mistake(name: str, value: Any, annotation: Any) -> str:
    """What is wrong with one value; "" if nothing is."""
    known = choices(annotation)
    if known is not None:
        return "" if value in known else f"{name} cannot be {value!r}{nearest(value, known)}"
    if value is None or isinstance(value, bool):
        return ""
    for mark in get_args(annotation)[1:]:
        if (
            (isinstance(mark, Ge) and not value >= mark.ge)
            or (isinstance(mark, Gt) and not value > mark.gt)
            or (isinstance(mark, Le) and not value <= mark.le)
            or (isinstance(mark, Lt) and not value < mark.lt)
        ):
            return f"{name} is {value!r}, which is out of range ({mark})"
    return ""


METHOD_HINTS: Mapping[str, Any] = get_type_hints(Method, include_extras=True)  # key -> annotation
DEFAULTS = Method()
