"""The headline: what fusion changed, with which certainty, and which differences could not be detected."""

from typing import Literal

from harness.comparison.headline import CapabilityDifference, headline
from harness.core.record import Difference, Role


def finding(
    capability: str, difference: float, p: float, smallest: float | None = 8.0, alpha: float = 0.05
) -> CapabilityDifference:
    return CapabilityDifference(
        capability,
        Difference(
            opponent="clm",
            role=Role.CONTROL,
            difference=difference,
            low=difference - 5,
            high=difference + 5,
            p_value=p,
            p_adjusted=p,
            smallest=smallest,
            better=1,
            worse=0,
            n=50,
        ),
        alpha,
    )


def said(*findings: CapabilityDifference, correction: Literal["holm", "bh"] = "holm") -> str:
    return headline(findings, "its control", correction, None)


def test_helped_hurt_and_unclear_are_told_apart() -> None:
    text = said(finding("facts", 9, 0.0001), finding("code", -9, 0.02), finding("logic", 2, 0.4))
    assert text.startswith(
        "Fusion helped on facts, lowered scores on code and made no clear difference on logic; "
        "certainty: fair. Compared with its control: "
    )


def test_certainty_is_that_of_the_least_sure_claim() -> None:
    surest = said(finding("a", 9, 1e-9))
    assert "certainty: very high. " in surest
    assert "if fusion had no effect, fewer than 1 in 1,000 such" in surest
    both = said(finding("a", 9, 1e-9), finding("b", 9, 0.004))
    assert "certainty: high. " in both
    assert "about 1 in 250 such" in both
    assert "about 1 in 25 such" in said(finding("a", 9, 0.04))


def test_a_difference_that_is_not_sure_is_no_claim() -> None:
    text = said(finding("facts", 30, 0.06))
    assert text.startswith("Fusion made no clear difference on facts. ")
    assert "certainty" not in text


def test_no_claim_says_what_would_have_been_seen() -> None:
    text = said(finding("facts", 1, 0.6, 8.0), finding("code", 0, 1.0, 12.5))
    assert "before the correction, the items can detect a difference of 8.0 points on facts and" in text
    assert "too few items" in said(finding("facts", 1, 0.6, None))


def test_false_discoveries_are_told_as_a_share_of_claims() -> None:
    text = said(finding("facts", 9, 0.001), correction="bh")
    assert "of all differences called significant in this way, at most 5.0 % are expected to be false" in text


def test_the_whole_is_told_with_its_interval() -> None:
    whole = finding("overall", 4.0, 0.001).difference
    text = headline([finding("facts", 9, 0.001)], "its control", "holm", whole)
    assert "Average over all capabilities: +4.0 points (interval −1.0 to +9.0)." in text
