"""The exception that this package raises, and checks of named values with suggestions."""

from collections.abc import Iterable, Mapping
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


def first_line(error: BaseException) -> str:
    """Of what an error says; its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def one_of(name: str, value: str, choices: object) -> None:
    """Raise FusionError unless `value` of the parameter `name` is one of `choices`, a Literal of strings.

    Without this check a misspelt choice would silently be treated as one of the others.
    """
    known = get_args(choices)
    if value not in known:
        raise FusionError(
            f"{name} cannot be {value!r}{nearest(value, known)}",
            remedy=f"choose {' or '.join(repr(k) for k in known)}",
        )


def nearest(value: object, known: Iterable[object], synonyms: Mapping[str, str] = {}) -> str:
    """' (did you mean x?)' with the `known` name that is meant; '' where none is near.

    That is `value` in other capitals or with other hyphens, else what it is a synonym of, else the nearest.
    """
    names = {_plain(name): str(name) for name in known}
    plain = _plain(value)
    same = [name for name in (plain, _plain(synonyms.get(plain, ""))) if name in names]
    close = same or get_close_matches(plain, names, n=1, cutoff=0.5)
    return f" (did you mean {names[close[0]]!r}?)" if close else ""


def _plain(name: object) -> str:
    return str(name).casefold().replace("-", "_")
