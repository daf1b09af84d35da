"""The check's false alarms and power, over many simulated runs: rates, not single cases."""

import numpy as np
import pytest

from harness.comparison.statistics import Floats
from harness.regression.decision import judged
from harness.regression.pairing import Paired, Sides

ALPHA = 0.05
RUNS = 300
ITEMS = 120
# four benchmarks of two capabilities: fused and control are right with these probabilities
ABILITIES = {("a", "x"): (0.7, 0.5), ("b", "x"): (0.6, 0.4), ("c", "y"): (0.5, 0.5), ("d", "y"): (0.9, 0.6)}


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough for p-values below alpha / 6 rows, and fast."""
    monkeypatch.setattr("harness.regression.decision.RESAMPLES", 400)


def answers(rng: np.random.Generator, ability: float) -> Floats:
    return np.where(rng.random(ITEMS) < ability, 100.0, 0.0)


def run(rng: np.random.Generator, *, fall: float = 0.0) -> list[Paired]:
    """Fused and control answer anew; on benchmark d, fused is right less often by `fall`."""
    pairs = []
    for (name, capability), (fused, control) in ABILITIES.items():
        now = fused - fall * (name == "d")
        sides = Sides(answers(rng, now), answers(rng, fused))
        controls = Sides(answers(rng, control), answers(rng, control))
        lead = Sides(sides.now - controls.now, sides.then - controls.then)
        pairs.append(Paired("benchmark", name, capability, "acc", "%", True, sides, lead, np.ones(ITEMS)))
    return pairs


def alarms(runs: int, *, fall: float = 0.0, tolerance: float = 0.0) -> float:
    """The share of runs in which anything is said to have regressed."""
    rng = np.random.default_rng(0)
    rows = [judged(run(rng, fall=fall), {"default": tolerance}, ALPHA) for _ in range(runs)]
    return float(np.mean([any(row.causes for row in found) for found in rows]))


@pytest.mark.slow
def test_equal_abilities_are_flagged_at_most_as_often_as_stated() -> None:
    """At most alpha over all rows and questions; the bound is alpha and three standard errors above."""
    assert alarms(RUNS) <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / RUNS) ** 0.5


@pytest.mark.slow
def test_a_fall_by_the_tolerance_exactly_is_flagged_as_rarely() -> None:
    """The edge of what is allowed is the null hypothesis of a tolerance."""
    assert alarms(RUNS, fall=0.10, tolerance=10.0) <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / RUNS) ** 0.5


@pytest.mark.parametrize(("fall", "tolerance"), [(0.30, 0.0), (0.40, 10.0)])
def test_a_fall_by_thirty_points_more_than_allowed_is_found(fall: float, tolerance: float) -> None:
    """Of 120 items, shares 0.9 and 0.6: z = 0.3 / sqrt((0.09 + 0.24) / 120) = 5.7, far beyond Holm's 2.6."""
    assert alarms(50, fall=fall, tolerance=tolerance) > 0.95
