"""The exception that this package raises, and checks of named values with suggestions."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import get_args


class FusionError(ValueError):
    """An error with a message (what is wrong, where, why) and a `remedy` (what to do about it)."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  -> {self.remedy}" if self.remedy else self.message


def one_of(name: str, value: str, choices: object) -> None:
    """Raise FusionError unless `value` of the parameter `name` is one of `choices`, a Literal of strings.

    Without this check a misspelt choice would silently be treated as one of the others.
    """
    known = get_args(choices)
    if value not in known:
        raise FusionError(
            f"{name} cannot be {value!r}{did_you_mean(value, known)}",
            remedy=f"choose {' or '.join(repr(k) for k in known)}",
        )


def did_you_mean(value: object, known: Iterable[str]) -> str:
    """'; did you mean ...?' with the nearest of the `known` names, ignoring case; '' if none is close."""
    names = {k.lower(): k for k in known}
    close = get_close_matches(str(value).lower(), names, n=1, cutoff=0.5)
    return f"; did you mean {names[close[0]]!r}?" if close else ""
