"""Registry of fusion functions by name (`Method.function`).

    M   sources        R   rows of the target

A new one is a function and a line in `FUSION_FUNCTIONS`. Functions import what they need when they are
called, so that reading the names imports nothing heavy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusion.choices import AvgceWeights
    from fusion.functions import Fused
    from fusion.projection import Projected

    Combine = Callable[[Sequence[Projected], NDArray[np.float64], "FunctionChoices"], Fused]


class FunctionChoices(Protocol):
    """The fields of `fusion.method.Method` that a fusion function reads."""

    @property
    def avgce_weights(self) -> "AvgceWeights": ...


@dataclass(frozen=True)
class FunctionRule:
    """How a named function combines several distributions into one.

    combine: takes M projected sources and their qualities [M, R] (lower is better).
    width: number of entries of a fused row, given the number of entries of each source's rows.
    attributed: what it means that a row is attributed to a source, as a heading.
    """

    combine: "Combine"
    width: Callable[[Sequence[int]], int]
    attributed: str = "positions taught"


def _mince(sources: "Sequence[Projected]", quality: "NDArray[np.float64]", _: FunctionChoices) -> "Fused":
    from fusion.functions import mince

    return mince(sources, quality)


def _avgce(
    sources: "Sequence[Projected]", quality: "NDArray[np.float64]", method: FunctionChoices
) -> "Fused":
    from fusion.functions import avgce

    return avgce(sources, quality, weights=method.avgce_weights)


FUSION_FUNCTIONS: dict[str, FunctionRule] = {
    "mince": FunctionRule(_mince, width=max),  # each row is copied from one source
    "avgce": FunctionRule(_avgce, width=sum, attributed="positions where its weight is largest"),
}
