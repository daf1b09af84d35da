"""Windows of random tokens and teachers with all probability on one token, for tests of training."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusion.teacher_rows import TeacherRows
from tests.fusion.tiny import VOCABULARY


def windows(seed: int = 0, count: int = 16) -> list[NDArray[np.int32]]:
    draw = np.random.default_rng(seed)
    return [draw.integers(0, VOCABULARY, draw.integers(3, 12)).astype(np.int32) for _ in range(count)]


def rows(windows: list[NDArray[np.int32]], shift: int = 1, kept: bool = True) -> TeacherRows:
    """A teacher with all probability on the token `shift` places on (1: next token, 0: current token)."""
    offsets = np.concatenate([[0], np.cumsum([len(w) - 1 for w in windows])]).astype(np.int64)
    ids = np.concatenate([w[shift : shift + len(w) - 1] for w in windows]).astype(np.int32)[:, None]
    n = len(ids)
    return TeacherRows(offsets, ids, np.ones((n, 1), np.float32), np.zeros(n, np.float32), np.full(n, kept))


def weights(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])
