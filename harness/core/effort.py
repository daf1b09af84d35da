"""The cost of a run by stage (tokens, FLOPs, time, memory), and the gain per training token. Pure functions.

Tokens are those that a model read or was trained on. FLOPs follow from them and the model's size; stages that
run no model have none.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.record import AVERAGE, Comparison, GainPerToken, Role, StageEntry, TrainingCurve

# FLOPs per parameter and token (Kaplan et al. 2020, section 2.1; attention scores are left out)
FORWARD, TRAINING, RECOMPUTED = 2, 6, 8  # read; trained on; trained on with recomputed activations

FOR_FUSION = ("distributions", "vocabulary", "alignment", "fusion")  # stages that the control does not need
MILLION = 1e6


def forward_flops(parameters: int, tokens: float) -> float:
    return float(FORWARD * parameters * tokens)


def training_flops(parameters: int, tokens: float, *, recomputed: bool = False) -> float:
    return float((RECOMPUTED if recomputed else TRAINING) * parameters * tokens)


# stage family -> (the fact with its number of tokens, its FLOPs)
_EFFORT: Mapping[str, tuple[str, Callable[[int, float], float]]] = {
    "distributions": ("tokens", forward_flops),
    "training": ("tokens", training_flops),
    "scoring": ("tokens_read", forward_flops),
}


def model_effort(stage: str, facts: Mapping[str, Any], parameters: Mapping[str, int]) -> dict[str, Any]:
    """`tokens` and `flops` of a stage that runs a model of known size; {} for any other stage."""
    family, _, rest = stage.partition(":")
    model = rest.partition(":")[0]
    if family not in _EFFORT or model not in parameters:
        return {}
    fact, flops = _EFFORT[family]
    tokens = facts.get(fact)
    return {} if tokens is None else {"tokens": int(tokens), "flops": flops(parameters[model], tokens)}


@dataclass(frozen=True)
class Spent:
    """Sums over stages; None where no stage has the number."""

    seconds: float
    bytes: int
    tokens: int | None
    flops: float | None
    memory_bytes: int | None  # the largest of all


def spent(stages: Sequence[StageEntry]) -> Spent:
    tokens = [s.tokens for s in stages if s.tokens is not None]
    flops = [s.flops for s in stages if s.flops is not None]
    peaks = [s.memory_bytes for s in stages if s.memory_bytes is not None]
    return Spent(
        seconds=sum(s.seconds for s in stages),
        bytes=sum(s.bytes for s in stages),
        tokens=sum(tokens) if tokens else None,
        flops=sum(flops) if flops else None,
        memory_bytes=max(peaks, default=None),
    )


def for_fusion(stages: Sequence[StageEntry]) -> list[StageEntry]:
    """The stages that the control does not need."""
    return [s for s in stages if s.name.partition(":")[0] in FOR_FUSION]


def gains_per_token(comparison: Comparison, training: Sequence[TrainingCurve]) -> Iterator[GainPerToken]:
    """For each capability, the lead over the control per million training tokens.

    Fused and control are trained on the same tokens, so the lead is what the sources add.
    """
    fused = {c.model for row in comparison.rows for c in row.cells if c.role is Role.FUSED}
    tokens = next((curve.tokens for curve in training if curve.model in fused), 0)
    rows = (row for row in comparison.rows if row.benchmark == AVERAGE and row.unit == "%")
    for row in rows:
        for d in row.differences:
            if d.role is Role.CONTROL and tokens:
                scale = MILLION / tokens
                yield GainPerToken(
                    capability=row.capability,
                    tokens=tokens,
                    points=scale * d.difference,
                    low=scale * d.low,
                    high=scale * d.high,
                )
