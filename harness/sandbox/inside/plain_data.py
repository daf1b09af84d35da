"""Serialization of values between two sandboxes, as exact built-in types.

The receiver rebuilds each value from text, so an object cannot carry its own `__eq__` or any other code.
Subclasses of built-in types arrive as the built-in type, iterators as an iterator over their items.

Encoding of a value: a letter for its type, then its digits up to ";", or a count, ":" and its parts.
Runs in a bare interpreter (`first.run_script`): only the standard library may be imported.
"""

import builtins
import os
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

DEEPEST = 200  # levels of nested containers
LARGEST = 1 << 24  # characters of a message
LONGEST = 1 << 20  # items of an iterator
_HEADER = 8  # hexadecimal digits of a message's length
_SEQUENCES: dict[str, Any] = {"l": list, "t": tuple, "e": set, "z": frozenset}
_CONSTANTS = {"N": None, "T": True, "F": False}


class NotPlain(Exception):  # noqa: N818 - as TypeError and KeyError are named by what happened
    """A value that is not plain data; the message is the name of its type."""


class Reference:
    """An object that stays in the candidate's sandbox. Tests may only pass it back; other uses are errors."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, number: int) -> None:
        self.number = number

    def _refuse(self, *_: object) -> Any:
        raise TypeError("the candidate's answer is an object of its own, not plain data")

    __eq__ = __ne__ = __bool__ = _refuse


def encode(value: Any, refer: Callable[[Any], int] | None = None) -> str:
    """Encode a value as text.

    Args:
        refer: returns a reference number for an object that is not plain data; None forbids such objects.

    Raises:
        NotPlain: the value is or contains something that is not plain data, or is nested too deeply.
    """
    return "".join(_parts(value, refer, 0))


def _parts(value: Any, refer: Callable[[Any], int] | None, depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        raise NotPlain("nested too deeply")
    if value is None or value is True or value is False:
        yield "N" if value is None else str(value)[0]
    elif isinstance(value, Reference):
        yield f"o{value.number:x};"
    elif isinstance(value, type) and (name := value.__name__) in vars(builtins):
        yield f"k{len(name)}:{name}"
    elif (atom := _atom(value)) is not None:
        yield atom
    elif isinstance(value, dict):
        yield f"d{dict.__len__(value)}:"
        for pair in dict.items(value):
            for part in pair:
                yield from _parts(part, refer, depth + 1)
    elif (items := _items(value)) is not None:
        yield f"{items[0]}{len(items[1])}:"
        for item in items[1]:
            yield from _parts(item, refer, depth + 1)
    elif refer is not None:
        yield f"o{refer(value):x};"
    else:
        raise NotPlain(type(value).__name__)


def _atom(value: Any) -> str | None:
    if isinstance(value, int):
        return f"i{int.__int__(value):x};"
    if isinstance(value, float):
        return f"f{float.hex(value)};"
    if isinstance(value, complex):
        return f"c{float.hex(value.real)};{float.hex(value.imag)};"
    if isinstance(value, str):
        text = str.__str__(value)
        return f"s{len(text)}:{text}"
    if isinstance(value, (bytes, bytearray)):
        text = bytes(value).hex()
        return f"{'b' if isinstance(value, bytes) else 'a'}{len(text)}:{text}"
    return None


def _items(value: Any) -> tuple[str, list[Any]] | None:
    """Type letter and items of a container; None for other values."""
    for letter, kind in _SEQUENCES.items():
        if isinstance(value, kind):
            return letter, list(kind.__iter__(value))
    if type(value) is range:
        return "r", [value.start, value.stop, value.step]
    if type(value).__module__ in ("builtins", "itertools") and hasattr(value, "__iter__"):
        return ("y" if hasattr(value, "__next__") else "l"), list(islice(value, LONGEST))
    return None


class _Reader:
    """Parser for the text of one value."""

    def __init__(self, text: str, resolve: Callable[[int], Any]) -> None:
        self.text, self.resolve, self.place = text, resolve, 0

    def until(self, mark: str) -> str:
        end = self.text.index(mark, self.place)
        found, self.place = self.text[self.place : end], end + 1
        return found

    def take(self, count: int) -> str:
        if count < 0 or self.place + count > len(self.text):
            raise ValueError("shorter than it says")
        self.place += count
        return self.text[self.place - count : self.place]

    def values(self, count: int, depth: int) -> list[Any]:
        return [self.value(depth + 1) for _ in range(count)]

    def value(self, depth: int = 0) -> Any:
        if depth > DEEPEST:
            raise ValueError("nested too deeply")
        letter = self.take(1)
        if letter in _CONSTANTS:
            return _CONSTANTS[letter]
        if letter in "iofc":
            return self._number(letter)
        count = int(self.until(":"))
        if letter in "sba":
            text = self.take(count)
            return text if letter == "s" else (bytes if letter == "b" else bytearray).fromhex(text)
        if letter == "k":
            return _built_in(self.take(count))
        if letter == "d":
            items = self.values(2 * count, depth)
            return dict(zip(items[::2], items[1::2], strict=True))
        return _container(letter, self.values(count, depth))

    def _number(self, letter: str) -> Any:
        first = self.until(";")
        if letter == "i":
            return int(first, 16)
        if letter == "o":
            return self.resolve(int(first, 16))
        return float.fromhex(first) if letter == "f" else complex(float.fromhex(first), self._imaginary())

    def _imaginary(self) -> float:
        return float.fromhex(self.until(";"))


def _built_in(name: str) -> type:
    found = getattr(builtins, name)
    if not isinstance(found, type):
        raise ValueError("no built-in type")
    return found


def _container(letter: str, items: list[Any]) -> Any:
    if letter == "y":
        return iter(items)
    if letter == "r":
        return range(*map(int, items))
    return _SEQUENCES[letter](items)


def decode(text: str, resolve: Callable[[int], Any]) -> Any:
    """Decode a value from the text of `encode`; `resolve` returns the object for a reference number.

    Raises:
        Exception: of several types, since text from a candidate may be malformed in any way.
    """
    return _Reader(text, resolve).value()


def send(descriptor: int, text: str) -> None:
    """Write one message."""
    data = text.encode("utf-8", "surrogatepass")
    rest = memoryview(f"{len(data):0{_HEADER}x}".encode() + data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def receive(descriptor: int) -> str | None:
    """Read one message; None at the end of the channel or for a malformed message."""
    header = _exactly(descriptor, _HEADER)
    try:
        size = int(header, 16) if len(header) == _HEADER else -1
    except ValueError:
        return None
    data = _exactly(descriptor, size) if 0 <= size <= LARGEST else b""
    return data.decode("utf-8", "surrogatepass") if len(data) == size else None


def _exactly(descriptor: int, size: int) -> bytes:
    parts, left = [], size
    while left and (part := os.read(descriptor, min(left, 1 << 16))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
