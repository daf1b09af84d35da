"""How the numbers are made and what they can be said of, in sentences that follow the record."""

from harness.core.formats import listed
from harness.core.record import RunRecord

CORRECTIONS = {
    "holm": "Holm's, which keeps the chance of any false claim in a family below {alpha}",
    "bh": "Benjamini and Hochberg's, which keeps the expected share of false among all claims below {alpha}",
}


def scope(record: RunRecord) -> str:
    """What the verdict's certainty covers, in one line."""
    trainings = record.comparison.trainings
    if trainings > 1:
        seeds = listed([str(seed) for seed in record.seeds])
        return f"Means over {trainings} trainings (seeds {seeds}), whose spread is part of the certainty."
    return f"One training (seed {record.seed}): the certainty is about the items, not about another training."


def method(record: RunRecord) -> list[str]:
    """A paragraph each on pairing, intervals, tests, correction, reach, trainings and the verdict."""
    spec = record.suite.get("comparison", {})
    alpha = f"{100 * (1 - record.comparison.confidence):.3g} %"
    return [
        "Every model answers the same items, and differences are taken item by item.",
        f"Intervals: paired bootstrap, {spec.get('resamples', 'many')} resamples, seeded (seed "
        f"{spec.get('seed', 0)}), within each benchmark and task; items that ask about one passage are drawn "
        "together; percentiles, expanded where items are few. An interval of a single point means that the "
        "items left no spread to resample.",
        "Tests: exact McNemar where answers are right or wrong and share no passage, otherwise sign-flip "
        "permutation, a passage's items flipped as one. Marks follow the tests; close to the edge an "
        "interval may say otherwise.",
        f"Correction: {CORRECTIONS[record.comparison.correction].format(alpha=alpha)}; a family is the rows "
        "of one kind (capabilities, headline metrics, other metrics, bits per byte, overall) against every "
        "model.",
        "The smallest difference shown is for one test at the uncorrected level, with the share of items on "
        "which the two models did differ; correction asks for more.",
        _trainings(record),
        "Capabilities count their benchmarks the same, overall counts capabilities the same. The verdict "
        "compares fused with the control, which had the same training without sources, on the capabilities' "
        "averages.",
    ]


def _trainings(record: RunRecord) -> str:
    if record.comparison.trainings == 1:
        return "Fused and control were trained once: what another seed would change is not in any interval."
    return (
        f"Fused and control were trained {record.comparison.trainings} times. Intervals and tests of their "
        "differences add the variance between trainings to that of the items, with Cochran and Cox's "
        "critical value. Examples and items named after fused and control are those of the first seed."
    )
