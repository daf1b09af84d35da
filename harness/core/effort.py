"""What a run has cost, stage by stage, from what the stages counted; and what the gain cost. Pure.

Tokens are those that a model read or was trained on. FLOPs follow from them: 2 P a token read, 6 P a token
trained, P the model's parameters; stages that run no model have none.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.record import AVERAGE, Comparison, GainPerToken, Role, StageEntry, TrainingCurve

FLOPS_PER_PARAMETER = {"distributions": 2, "training": 6, "scoring": 2}  # and token
TOKENS = {
    "distributions": "tokens",
    "training": "tokens",
    "scoring": "tokens_read",
}  # the fact of each family
FOR_FUSION = ("distributions", "vocabulary", "alignment", "fusion")  # what the control does without
MILLION = 1e6


def model_effort(stage: str, facts: Mapping[str, Any], parameters: Mapping[str, int]) -> dict[str, Any]:
    """`tokens` and `flops` of a stage that runs a model of known size; {} of any other."""
    family, _, rest = stage.partition(":")
    model, fact = rest.partition(":")[0], TOKENS.get(family)
    tokens = facts.get(fact) if fact else None
    if tokens is None or model not in parameters:
        return {}
    return {"tokens": int(tokens), "flops": float(FLOPS_PER_PARAMETER[family] * parameters[model] * tokens)}


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
