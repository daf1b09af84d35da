"""The weight of the causal LM loss goes from start to end, and no further."""

import math

import pytest

from fusion.errors import FusionError
from fusion.schedule import Anneal, weight_at


def test_a_number_is_itself_at_every_step() -> None:
    assert {weight_at(0.9, step, 10) for step in range(10)} == {0.9}


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_first_and_last_step_have_start_and_end(schedule: str) -> None:
    anneal = Anneal(0.9, 0.2, schedule)  # type: ignore[arg-type]
    weights = [weight_at(anneal, step, 11) for step in range(11)]
    assert weights[0] == pytest.approx(0.9) and weights[-1] == pytest.approx(0.2)
    assert weights == sorted(weights, reverse=True)
    assert weights[5] == pytest.approx(0.55)  # both are halfway in the middle
    assert weight_at(anneal, 99, 11) == pytest.approx(0.2)


def test_a_quarter_of_the_way() -> None:
    """Linear: 1/4 of the way. Cosine: (1 - cos(pi / 4)) / 2 of it."""
    assert weight_at(Anneal(0.0, 1.0), 2, 9) == pytest.approx(0.25)
    assert weight_at(Anneal(0.0, 1.0, "cosine"), 2, 9) == pytest.approx((1 - math.sqrt(0.5)) / 2)


def test_a_training_of_one_step_has_the_start() -> None:
    assert weight_at(Anneal(0.7, 0.1), 0, 1) == pytest.approx(0.7)


@pytest.mark.parametrize("ends", [(-0.1, 0.5), (0.5, 1.1), (float("nan"), 0.5)])
def test_weights_outside_zero_and_one_are_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(FusionError, match="not between 0 and 1"):
        Anneal(*ends)


def test_unknown_schedules_are_refused() -> None:
    with pytest.raises(FusionError, match="schedule of lm_loss_weight cannot be 'exponential'"):
        Anneal(0.9, 0.1, "exponential")  # type: ignore[arg-type]
