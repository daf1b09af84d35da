"""The headline: the verdict in one plain sentence with its certainty, and what that certainty means."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.core.formats import interval, listed, number, signed
from harness.core.record import Difference

HELPED, HURT, UNCLEAR = "helped on", "lowered scores on", "made no clear difference on"
CERTAINTY = ((0.001, "very high"), (0.01, "high"), (1.0, "fair"))  # below this p-value: this word


@dataclass(frozen=True)
class CapabilityDifference:
    """Fused against one opponent on one capability."""

    capability: str
    difference: Difference
    alpha: float

    @property
    def sure(self) -> bool:
        return self.difference.p_adjusted < self.alpha

    @property
    def gained(self) -> bool:
        return self.sure and self.difference.difference > 0

    @property
    def lost(self) -> bool:
        return self.sure and self.difference.difference < 0


def headline(
    findings: Sequence[CapabilityDifference],
    against: str,
    correction: Literal["holm", "bh"],
    whole: Difference | None,
) -> str:
    """The answer with its certainty in one sentence, then what the certainty means, then the difference
    averaged over all capabilities (`whole`, if there are several). `against` names the opponent.
    """
    sure = [f for f in findings if f.sure]
    first = f"{_effect(findings)}; certainty: {_certainty(sure)}." if sure else f"{_effect(findings)}."
    meaning = _meaning(sure, correction) if sure else _hidden(findings)
    return " ".join([first, f"Compared with {against}: {meaning}.", *([_whole(whole)] if whole else [])])


def _effect(findings: Sequence[CapabilityDifference]) -> str:
    """'Fusion helped on facts, lowered scores on code and made no clear difference on logic'."""
    groups = (
        (HELPED, [f.capability for f in findings if f.gained]),
        (HURT, [f.capability for f in findings if f.lost]),
        (UNCLEAR, [f.capability for f in findings if not f.sure]),
    )
    return "Fusion " + listed([f"{what} {listed(names)}" for what, names in groups if names])


def _whole(difference: Difference) -> str:
    between = interval(difference.low, difference.high)
    return f"Average over all capabilities: {signed(difference.difference)} points (interval {between})."


def _certainty(sure: Sequence[CapabilityDifference]) -> str:
    worst = _least_sure(sure)
    return next(word for bound, word in CERTAINTY if worst < bound or bound == 1.0)


def _meaning(sure: Sequence[CapabilityDifference], correction: Literal["holm", "bh"]) -> str:
    """What the certainty means: the error rate that the correction controls."""
    if correction == "bh":
        return (
            f"of all differences called significant in this way, at most {number(100 * sure[0].alpha)} % are "
            "expected to be false"
        )
    return (
        f"if fusion had no effect, {_frequency(_least_sure(sure))} such comparisons would show a difference "
        "this large"
    )


def _least_sure(sure: Sequence[CapabilityDifference]) -> float:
    return max(f.difference.p_adjusted for f in sure)


def _frequency(p: float) -> str:
    return "fewer than 1 in 1,000" if p < 0.001 else f"about 1 in {int(1 / p):,}"


def _hidden(findings: Sequence[CapabilityDifference]) -> str:
    """The minimum detectable effects: no significant difference does not mean that there is none."""
    reach = [
        f"{number(f.difference.smallest)} points on {f.capability}"
        for f in findings
        if f.difference.smallest is not None
    ]
    if not reach:
        return "there are too few items to tell"
    return (
        f"with 80 % power, before the correction, the items can detect a difference of {listed(reach)}; "
        "smaller ones may be missed"
    )
