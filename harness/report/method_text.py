"""Sentences on how the numbers are computed and what they cover, as the run's settings say."""

from harness.core.formats import listed
from harness.core.record import RunRecord

CORRECTIONS = {
    "holm": "Holm, which keeps the probability of any false positive in a family below {alpha}",
    "bh": "Benjamini and Hochberg, which keeps the expected share of false positives among the significant "
    "differences of a family below {alpha}",
}


def scope(record: RunRecord) -> str:
    """What the intervals and p-values account for, in one line."""
    trainings = record.comparison.trainings
    if trainings > 1:
        seeds = listed([str(seed) for seed in record.seeds])
        return (
            f"Means over {trainings} trainings (seeds {seeds}): intervals and p-values account for the "
            "variance between trainings."
        )
    return (
        f"One training (seed {record.seed}): intervals and p-values account for the choice of items, not for "
        "the random seed of the training."
    )


def method(record: RunRecord) -> list[str]:
    """A paragraph each on pairing, intervals, tests, correction, MDE, trainings and the verdict."""
    spec = record.suite.get("comparison", {})
    alpha = f"{100 * (1 - record.comparison.confidence):.3g} %"
    return [
        "Every model answers the same items, and differences are taken item by item.",
        f"Intervals: paired bootstrap, {spec.get('resamples', 'many')} resamples, seeded (seed "
        f"{spec.get('seed', 0)}), within each benchmark and task. Items about the same passage are "
        "resampled together. The bounds are percentiles, widened where there are few items. An interval of "
        "a single point means that the differences do not vary within any benchmark and task.",
        "Tests: exact McNemar where answers are right or wrong, weigh the same and share no passage; "
        "otherwise sign-flip permutation, which flips all items of a passage together. Marks follow the "
        "tests; close to the significance level an interval may disagree with them.",
        f"Correction: {CORRECTIONS[record.comparison.correction].format(alpha=alpha)}. A family is "
        "all differences of one kind (capabilities, headline metrics, other metrics, bits per byte, "
        "overall) from all other models.",
        "Minimum detectable effect (MDE): for a single test with 80 % power at the uncorrected level, from "
        "the spread of the differences between the two models. After correction, only larger differences "
        "are detected with that power.",
        _trainings(record),
        "Averages: a capability weighs its benchmarks equally, overall weighs the capabilities equally. The "
        "verdict compares fused with the control, which had the same training without sources, on the "
        "capabilities' averages.",
    ]


def _trainings(record: RunRecord) -> str:
    if record.comparison.trainings == 1:
        return "Fused and control were trained once, so no interval includes the effect of the random seed."
    return (
        f"Fused and control were trained {record.comparison.trainings} times. Intervals and tests of their "
        "differences add the variance between trainings to that of the items, with Cochran and Cox's "
        "critical value. Examples and items of fused and control are those of the first seed."
    )
