"""Fused distributions of a whole corpus, in the form that training reads.

W   windows        R   rows of all windows        K   entries of a row
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TeacherRows:
    """Fused rows of all windows, concatenated; row t of a window predicts its input_ids[t + 1].

    The arrays may be memory-mapped: only the rows of a batch are read at a time. "No entry" is -1 in signed
    ids, and the largest value of the type in unsigned ids (65,535 in uint16, which is therefore for
    vocabularies of at most 65,535 tokens). Probabilities may have any floating-point type.
    """

    offsets: NDArray[np.int64]  # [W + 1]
    ids: NDArray[np.integer[Any]]  # [R, K]
    probabilities: NDArray[np.floating[Any]]  # [R, K]
    leftover: NDArray[np.floating[Any]]  # [R]
    kept: NDArray[np.bool_]  # [R]
