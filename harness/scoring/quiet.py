"""Suppression of notices and progress bars of lm-eval and transformers."""

import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from harness.core.environment import replaced

_WITH_BARS = (
    *("lm_eval.api.model", "lm_eval.api.task", "lm_eval.models.huggingface"),
    "harness.scoring.shared_prefix.lm",
)


@contextmanager
def hushed() -> Iterator[None]:
    """Within the block, lm-eval logs errors only."""
    logger = logging.getLogger("lm_eval")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def quiet() -> Iterator[None]:
    """Within the block, lm-eval shows no notices and no progress bars (a run shows its own)."""
    with ExitStack() as stack:
        stack.enter_context(hushed())
        for module in [sys.modules[name] for name in _WITH_BARS if name in sys.modules]:
            stack.enter_context(replaced(module, "tqdm", _silent_bar))
        yield


def _silent_bar(*args: Any, **settings: Any) -> Any:
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    return tqdm(*args, **{**settings, "disable": True})


@contextmanager
def no_weight_bars() -> Iterator[None]:
    """Within the block, transformers shows no progress bar while it loads weights."""
    from transformers.utils import logging as notices

    shown = notices.is_progress_bar_enabled()
    notices.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            notices.enable_progress_bar()
