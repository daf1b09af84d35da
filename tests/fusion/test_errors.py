"""An unknown choice is refused with a list of the known ones."""

from typing import Literal

import pytest

from fusion.errors import FusionError, one_of

Leftover = Literal["residual", "renormalise"]


@pytest.mark.parametrize("choice", ["residual", "renormalise"])
def test_choices_that_there_are_pass(choice: str) -> None:
    one_of("leftover", choice, Leftover)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("renormalize", "leftover cannot be 'renormalize' (did you mean 'renormalise'?)"),
        ("RESIDUAL", "leftover cannot be 'RESIDUAL' (did you mean 'residual'?)"),
        ("xyz", "leftover cannot be 'xyz'"),
        (None, "leftover cannot be None"),
    ],
)
def test_others_are_refused_with_the_nearest(choice: str, message: str) -> None:
    with pytest.raises(FusionError) as caught:
        one_of("leftover", choice, Leftover)
    assert caught.value.message == message
    assert caught.value.remedy == "choose 'residual' or 'renormalise'"
