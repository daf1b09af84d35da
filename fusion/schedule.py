"""Schedule of the causal LM loss's weight (lambda of equation 5): constant, or annealed over a training."""

import math
from dataclasses import dataclass

from fusion.choices import Schedule
from fusion.errors import FusionError, one_of
from fusion.method import DEFAULTS


@dataclass(frozen=True)
class Anneal:
    """lambda goes from `start` at the first step to `end` at the last one."""

    start: float
    end: float
    schedule: Schedule = DEFAULTS.lm_loss_weight_schedule

    def __post_init__(self) -> None:
        if not (0.0 <= self.start <= 1.0 and 0.0 <= self.end <= 1.0):
            raise FusionError(
                f"lm_loss_weight is to go from {self.start} to {self.end}, which is not between 0 and 1",
                remedy="give start and end between 0 (fusion alone) and 1 (causal LM alone)",
            )
        one_of("the schedule of lm_loss_weight", self.schedule, Schedule)


def weight_at(weight: float | Anneal, step: int, steps: int) -> float:
    """lambda at `step`, counted from 0, of a training of `steps` steps."""
    if not isinstance(weight, Anneal):
        return weight
    done = min(step / (steps - 1), 1.0) if steps > 1 else 0.0
    if weight.schedule == "cosine":
        done = (1.0 - math.cos(math.pi * done)) / 2.0
    return weight.start + (weight.end - weight.start) * done
