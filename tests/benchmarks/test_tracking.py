"""`python -m benchmarks tracking` runs, and says how long a sync takes."""

from pathlib import Path

import pytest

from benchmarks.tracking import cases


@pytest.mark.slow
def test_a_quick_run_gives_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (row,) = cases(True, [Path("unused")])
    assert row.case == "sync 6 models x 6 metrics"
    assert row.seconds > 0 and row.reference_seconds > 0
    assert row.bars == ()
    assert {"wall s", "wall s unchanged"} == row.counted.keys()
