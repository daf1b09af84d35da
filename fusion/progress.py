"""How long work says how far it is."""

from collections.abc import Callable

OnProgress = Callable[[int, int], None]  # (done, to do in all, as far as is known)
