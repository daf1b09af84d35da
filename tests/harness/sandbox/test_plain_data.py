"""What crosses is the value and nothing else: exact built-in types, however it was made."""

import math
import os
import threading
from collections import Counter, OrderedDict
from enum import IntEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sandbox.inside.plain_data import NotPlain, Reference, decode, encode, receive, send

_ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
)
_HASHABLE = st.recursive(_ATOMS, lambda inner: st.tuples(inner, inner) | st.frozensets(inner), max_leaves=5)
_VALUES = st.recursive(
    _HASHABLE,
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(_HASHABLE, inner) | st.sets(_HASHABLE),
    max_leaves=20,
)


def across(value: Any) -> Any:
    return decode(encode(value), Reference)


@pytest.mark.slow
@given(_VALUES)
def test_plain_values_arrive_as_they_were(value: Any) -> None:
    """Type by type: 1, 1.0 and True are equal in Python and must not become each other."""
    assert repr(across(value)) == repr(value) or across(value) == value
    assert type(across(value)) is type(value)


class Lying(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


class Point(NamedTuple):
    x: int
    y: int


class Colour(IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Lying(3), 3),
        (Colour.RED, 1),
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (Point(1, 2), (1, 2)),
        ({1: 2}.keys(), [1]),
        ([Lying(3)], [3]),
    ],
)
def test_subclasses_arrive_as_what_they_extend(value: Any, plain: Any) -> None:
    assert across(value) == plain
    assert repr(across(value)) == repr(plain)


def test_not_a_number_stays_one() -> None:
    assert math.isnan(across(float("nan")))


def test_an_iterator_arrives_as_one_over_its_items() -> None:
    arrived = across(map(str, [1, 2]))
    assert (next(arrived), list(arrived)) == ("1", ["2"])


def test_other_objects_do_not_cross() -> None:
    with pytest.raises(NotPlain, match="object"):
        encode([object()])


def test_a_reference_can_be_handed_back_and_nothing_else() -> None:
    own = object()
    kept: list[Any] = []

    def keep(value: object) -> int:
        kept.append(value)
        return 0

    arrived = decode(encode(own, keep), Reference)
    assert decode(encode([arrived]), kept.__getitem__) == [own]
    for use in (lambda: arrived == own, lambda: arrived != own, lambda: bool(arrived), lambda: hash(arrived)):
        with pytest.raises(TypeError):
            use()


_NO_VALUES = ["", "?", "i", "l3:", "s9:abc", "s-1:", "d1:N", "k4:exec", "k7:missing", "b1:0", "ix;"]


@pytest.mark.parametrize("text", [*_NO_VALUES, "l1:" * 500], ids=str)
def test_what_is_no_value_is_an_error(text: str) -> None:
    with pytest.raises((ValueError, KeyError, AttributeError)):
        decode(text, Reference)


@given(st.lists(st.text(st.characters(exclude_categories=()), max_size=50), max_size=5))
def test_messages_arrive_whole_and_in_order(messages: list[str]) -> None:
    read, write = os.pipe()
    for message in messages:
        send(write, message)
    os.close(write)
    assert [receive(read) for _ in messages] == messages
    assert receive(read) is None
    os.close(read)


@pytest.mark.parametrize("sent", [b"", b"0000", b"zzzzzzzz", b"7fffffff", b"00000009abc", b"-0000001"])
def test_what_is_no_message_ends_the_channel(sent: bytes) -> None:
    read, write = os.pipe()
    os.write(write, sent)
    os.close(write)
    assert receive(read) is None
    os.close(read)


def test_a_message_larger_than_a_pipe_arrives() -> None:
    read, write = os.pipe()
    sender = threading.Thread(target=send, args=(write, "x" * 10**6))
    sender.start()
    assert receive(read) == "x" * 10**6
    sender.join()
    os.close(read)
    os.close(write)
