"""The type of callbacks that report progress."""

from collections.abc import Callable

OnProgress = Callable[[int, int], None]  # (done, total)
