"""The fused distributions of a whole corpus, as a training takes them.

W   windows        R   rows of all windows        K   entries of a row
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TeacherRows:
    """Fused distributions of all windows, end to end; row t of a window predicts its input_ids[t + 1].

    The arrays may be memory-mapped: no more than the rows of a batch is read at a time. Where ids are
    unsigned, the largest value of their type means no entry (65,535 for uint16, so for vocabularies of at
    most 65,535 tokens); where they are signed, -1 does. Probabilities may be of any floating type.
    """

    offsets: NDArray[np.int64]  # [W + 1]
    ids: NDArray[np.integer[Any]]  # [R, K]
    probabilities: NDArray[np.floating[Any]]  # [R, K]
    leftover: NDArray[np.floating[Any]]  # [R]
    kept: NDArray[np.bool_]  # [R]
