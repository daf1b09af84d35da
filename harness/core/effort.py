"""What a run has cost, stage by stage, from what the stages counted; and what the gain cost. Pure.

Tokens are those that a model read or was trained on. FLOPs follow from them and the model's size; stages that
run no model have none.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.record import AVERAGE, Comparison, GainPerToken, Role, StageEntry, TrainingCurve

# FLOPs per parameter and token (Kaplan et al. 2020, section 2.1; attention scores are left out)
FORWARD, TRAINING, RECOMPUTED = 2, 6, 8  # read; trained; trained with activations computed again

FOR_FUSION = ("distributions", "vocabulary", "alignment", "fusion")  # what the control does without
MILLION = 1e6


def forward_flops(parameters: int, tokens: float) -> float:
    return float(FORWARD * parameters * tokens)


def training_flops(parameters: int, tokens: float, *, recomputed: bool = False) -> float:
    return float((RECOMPUTED if recomputed else TRAINING) * parameters * tokens)


# stage family -> (the fact that counts its tokens, its FLOPs)
_EFFORT: Mapping[str, tuple[str, Callable[[int, float], float]]] = {
    "distributions": ("tokens", forward_flops),
    "training": ("tokens", training_flops),
    "scoring": ("tokens_read", forward_flops),
}


def model_effort(stage: str, facts: Mapping[str, Any], parameters: Mapping[str, int]) -> dict[str, Any]:
    """`tokens` and `flops` of a stage that runs a model of known size; {} of any other."""
    family, _, rest = stage.partition(":")
    model = rest.partition(":")[0]
    if family not in _EFFORT or model not in parameters:
        return {}
    fact, flops = _EFFORT[family]
    tokens = facts.get(fact)
    return {} if tokens is None else {"tokens": int(tokens), "flops": flops(parameters[model], tokens)}


@dataclass(frozen=True)
class Spent:
    """Sums over stages; None where no stage says."""

    seconds: float
    bytes: int
    tokens: int | None
    flops: float | None
    memory_bytes: int | None  # the highest of all


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
    """The stages that a training without sources does without."""
    return [s for s in stages if s.name.partition(":")[0] in FOR_FUSION]


def gains_per_token(comparison: Comparison, training: Sequence[TrainingCurve]) -> Iterator[GainPerToken]:
    """Per capability the lead over the control for each million tokens that fused was trained on.

    The control was trained on the same tokens, so the lead is what the sources add to each of them.
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
