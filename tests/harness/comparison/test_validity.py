"""Validity by simulation, through the code that makes the rows: false alarms, coverage, power.

Each simulation has 1,000 comparisons. A rate of 5 % then lies between 3.2 % and 7.2 % in all but 1 in 400
(Binomial(1000, 0.05)); the bounds below are such. Equals are two models whose answers have one distribution,
item by item, so that every claim is a false alarm.
"""

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.comparison.differences import CORRECTIONS, adjusted, row_of
from harness.comparison.outcomes import Outcomes, averages, overall
from harness.comparison.power import difference_beyond_spread, smallest_difference
from harness.comparison.statistics import Design, Floats, bootstrap, mcnemar_exact, paired_permutation
from harness.core.record import AVERAGE, Difference, Role, Row
from harness.suite.spec import ComparisonSpec
from tests.conftest import MadeOnce

RUNS = 1000
SPEC = ComparisonSpec(resamples=199)
MODELS = [("target", Role.TARGET), ("clm", Role.CONTROL), ("fused", Role.FUSED)]


def outcomes(
    benchmark: str, capability: str, values: dict[str, Floats], clusters: list[int] | None = None
) -> Outcomes:
    n = len(values["fused"])
    return Outcomes(
        capability,
        benchmark,
        "acc",
        "%",
        True,
        True,
        values,
        strata=(benchmark,) * n,
        tasks=(benchmark,) * n,
        clusters=None if clusters is None else tuple(map(str, clusters)),
    )


def right(rng: np.random.Generator, n: int, accuracy: float = 0.5) -> Floats:
    return np.where(rng.random(n) < accuracy, 100.0, 0.0)


def rate(found: Iterator[bool]) -> float:
    return sum(found) / RUNS


def compared(rng: np.random.Generator, correction: str) -> tuple[Row, ...]:
    """A run of three capabilities with two benchmarks of unequal size each, and all models equal."""
    benchmarks = [
        [
            outcomes(f"{c}{i}", c, {name: right(rng, n, 0.6) for name, _ in MODELS})
            for i, n in enumerate((20, 35))
        ]
        for c in "abc"
    ]
    found = [o for own in benchmarks for o in (*own, *averages(own[0].capability, own))]
    whole = overall(found)
    assert whole is not None
    return adjusted([row_of(o, MODELS, SPEC) for o in (*found, whole)], CORRECTIONS[correction])


@pytest.mark.slow
class TestFalseAlarms:
    @pytest.fixture(scope="class")
    def runs(self, made_once: MadeOnce) -> list[tuple[Row, ...]]:
        def compare(folder: Path) -> None:
            rng = np.random.default_rng(1)
            found = [compared(rng, "holm") for _ in range(RUNS)]
            (folder / "rows.pickle").write_bytes(pickle.dumps(found))

        folder = made_once("compared_equals", compare)
        found: list[tuple[Row, ...]] = pickle.loads((folder / "rows.pickle").read_bytes())
        return found

    @staticmethod
    def family(rows: tuple[Row, ...], kind: str) -> list[Difference]:
        average = kind != "benchmarks"
        return [
            d
            for r in rows
            if (r.benchmark == AVERAGE) == average and (r.capability == "overall") == (kind == "overall")
            for d in r.differences
        ]

    @pytest.mark.parametrize("kind", ["benchmarks", "averages", "overall"])
    def test_a_single_comparison_keeps_its_level(self, runs: list[tuple[Row, ...]], kind: str) -> None:
        assert rate(self.family(rows, kind)[0].p_value < 0.05 for rows in runs) <= 0.072

    @pytest.mark.parametrize("kind", ["benchmarks", "averages", "overall"])
    def test_after_correction_a_whole_run_does(self, runs: list[tuple[Row, ...]], kind: str) -> None:
        alarms = rate(any(d.p_adjusted < 0.05 for d in self.family(rows, kind)) for rows in runs)
        assert alarms <= 0.072

    def test_without_correction_it_would_not(self, runs: list[tuple[Row, ...]]) -> None:
        alarms = rate(any(d.p_value < 0.05 for d in self.family(runs[i], "averages")) for i in range(RUNS))
        assert alarms > 0.12  # six comparisons of three independent capabilities

    def test_of_the_claims_that_bh_makes_few_are_false(self) -> None:
        """Of 20 comparisons 5 have an effect: the mean share of false claims stays below 5 % x 15 / 20."""
        rng = np.random.default_rng(2)
        shares = []
        for _ in range(RUNS):
            discordant = rng.binomial(60, 0.4, size=20)
            better = rng.binomial(discordant, np.where(np.arange(20) < 5, 0.9, 0.5))
            p = [mcnemar_exact(int(b), int(m - b)) for b, m in zip(better, discordant, strict=True)]
            claimed = np.array(CORRECTIONS["bh"](p)) < 0.05
            shares.append(claimed[5:].sum() / max(1, claimed.sum()))
        assert np.mean(shares) <= 0.05


def passages(rng: np.random.Generator, n: int = 30, questions: int = 5) -> tuple[list[int], Floats]:
    """Clusters, and differences of equals whose answers to one passage go the same way two times in three."""
    clusters = np.repeat(np.arange(n), questions)
    shared = np.repeat(rng.choice([-100.0, 0.0, 100.0], size=n), questions)
    own = rng.choice([-100.0, 0.0, 100.0], size=n * questions)
    return clusters.tolist(), np.where(rng.random(n * questions) < 2 / 3, shared, own)


@pytest.mark.slow
class TestClusters:
    @pytest.fixture(scope="class")
    def rows(self) -> list[tuple[Difference, Difference]]:
        """Of equals: with their passages, and taken item by item."""
        rng = np.random.default_rng(3)
        drawn = [passages(rng) for _ in range(RUNS)]
        return [(self.row(clusters, d), self.row(None, d)) for clusters, d in drawn]

    @staticmethod
    def row(clusters: list[int] | None, d: Floats) -> Difference:
        values = {"clm": np.maximum(-d, 0), "fused": np.maximum(d, 0)}
        return row_of(outcomes("b", "c", values, clusters), MODELS[1:], SPEC).differences[0]

    def test_false_alarms_stay_within_the_rate(self, rows: list[tuple[Difference, Difference]]) -> None:
        assert rate(clustered.p_value < 0.05 for clustered, _ in rows) <= 0.072

    def test_items_taken_one_by_one_would_raise_many(self, rows: list[tuple[Difference, Difference]]) -> None:
        assert rate(single.p_value < 0.05 for _, single in rows) > 0.15

    def test_intervals_cover_nothing_as_often_as_they_say(
        self, rows: list[tuple[Difference, Difference]]
    ) -> None:
        """95 % less what 1,000 runs may miss by chance; item by item far less."""
        assert rate(clustered.low <= 0 <= clustered.high for clustered, _ in rows) >= 0.928
        assert rate(single.low <= 0 <= single.high for _, single in rows) < 0.85

    def test_the_spread_is_that_of_passages(self) -> None:
        """The standard error is that of the mean of 400 passages, known without resampling."""
        clusters, d = passages(np.random.default_rng(4), n=400)
        means = d.reshape(400, 5).mean(axis=1)
        labels = [str(c) for c in clusters]
        design = Design(("b",) * d.size, np.ones(d.size), labels)
        found = bootstrap(d, design, 0.95, 4000, np.random.default_rng(0)).error
        assert found == pytest.approx(means.std() / np.sqrt(400), rel=0.05)


class TestPower:
    """The difference that a row names beside itself is found in 80 % of runs: 1,000 give +-2.5 points."""

    def test_of_right_and_wrong(self) -> None:
        n, discordant = 150, 0.3
        delta = smallest_difference(n, discordant=discordant)
        assert delta is not None
        rng = np.random.default_rng(5)
        m = rng.binomial(n, discordant, size=RUNS)
        better = rng.binomial(m, (discordant + delta) / (2 * discordant))
        found = rate(mcnemar_exact(int(b), int(a - b)) < 0.05 for a, b in zip(m, better, strict=True))
        assert found == pytest.approx(0.8, abs=0.04)

    def test_of_bits_per_byte(self) -> None:
        n = 80
        delta = difference_beyond_spread(1 / np.sqrt(n))
        assert delta is not None
        draws = np.random.default_rng(6).normal(delta, 1, size=(RUNS, n))
        found = rate(paired_permutation(d, 399, np.random.default_rng(i)) < 0.05 for i, d in enumerate(draws))
        assert found == pytest.approx(0.8, abs=0.05)

    def test_of_passages(self) -> None:
        """What one clustered sample says of its reach holds for new ones: found in about 80 %."""
        rng = np.random.default_rng(7)
        clusters, d = passages(rng, n=200)
        design = Design(("b",) * d.size, np.ones(d.size), [str(c) for c in clusters])
        reach = difference_beyond_spread(bootstrap(d, design, 0.95, 4000, rng).error)
        assert reach is not None
        new = (passages(rng, n=200)[1] + reach for _ in range(RUNS))
        found = rate(paired_permutation(design.grouped(x), 199, rng) < 0.05 for x in new)
        assert found == pytest.approx(0.8, abs=0.08)  # the sample's own spread is known to some 5 %

    def test_a_row_names_it(self) -> None:
        rng = np.random.default_rng(8)
        row = row_of(outcomes("b", "c", {name: right(rng, 90) for name, _ in MODELS}), MODELS, SPEC)
        for d in row.differences:
            expected = smallest_difference(90, discordant=(d.better + d.worse) / 90)
            assert expected is not None
            assert d.smallest == pytest.approx(100 * expected)
