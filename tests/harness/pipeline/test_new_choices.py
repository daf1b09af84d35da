"""A new vocabulary map, alignment or fusion function is a function and a line: everything else follows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusion.alignment import align_end_byte
from fusion.alignment_rules import ALIGNMENTS
from fusion.function_rules import FUSION_FUNCTIONS, FunctionRule
from fusion.functions import mince
from fusion.vocabulary import map_exact
from fusion.vocabulary_rules import VOCABULARY_MAPS, MapRule
from harness.core.exceptions import SuiteError
from harness.experiment import run_suite
from harness.pipeline.plan import make_plan
from harness.pipeline.results_folder import Results
from harness.suite.load import limit_items, load_suite
from harness.suite.run_options import RunOptions
from tests.harness.observers import Silent

SMALL = ("corpus.documents=12", "training.max_steps=2", "tracking.enabled=false")
DUMMIES = ("fusion.vocabulary=no_code", "fusion.alignment=every_other", "fusion.function=worst")


@pytest.fixture
def dummies(monkeypatch: pytest.MonkeyPatch) -> None:
    def every_other(*_: object) -> Any:
        return lambda target, source: np.where(
            np.arange(len(target.read_to)) % 2, align_end_byte(target.read_to, source.read_to), -1
        ).astype(np.int32)

    no_code = MapRule(lambda source, target, _: map_exact(source.table, target.table), seconds=3600.0)
    worst = FunctionRule(lambda sources, quality, _: mince(sources, -quality), max, "positions of the worst")
    monkeypatch.setitem(VOCABULARY_MAPS, "no_code", no_code)
    monkeypatch.setitem(ALIGNMENTS, "every_other", every_other)
    monkeypatch.setitem(FUSION_FUNCTIONS, "worst", worst)


@pytest.mark.slow
@pytest.mark.usefixtures("dummies")
def test_a_new_choice_goes_from_the_suite_to_the_report(tmp_path: Path) -> None:
    loaded = load_suite("micro", (*SMALL, *DUMMIES))
    loaded = loaded.model_copy(update={"suite": limit_items(loaded.suite, 3)})
    results, options = Results(tmp_path), RunOptions(offline=True)
    seconds = {s.name: s.seconds for s in make_plan(loaded, options, results).stages}
    assert seconds["vocabulary:neox-code"] == 3600.0
    finished = run_suite(loaded, options, results, Silent())
    assert finished is not None
    record = finished.record
    assert record.suite["fusion"]["function"] == "worst"
    positions = record.coverage["neox-code"]["positions"]
    assert 0 < positions <= 50  # of every second row
    assert "positions of the worst" in (finished.folder / "report.html").read_text()
    assert (
        json.loads((finished.folder / "run.json").read_text())["suite"]["fusion"]["alignment"]
        == "every_other"
    )


@pytest.mark.usefixtures("dummies")
def test_a_new_choice_is_named_where_a_name_is_wrong() -> None:
    with pytest.raises(SuiteError) as caught:
        load_suite("micro", ("fusion.function=worts", "fusion.compare=spelling", "fusion.vocabulary=no_code"))
    assert set(caught.value.mistakes) == {
        "fusion.compare: 'spelling' cannot be used with vocabulary 'no_code', which compares bytes",
        "fusion.function: 'worts' is not one of 'mince', 'avgce', 'worst' (did you mean 'worst'?)",
    }


def test_without_the_line_there_is_no_such_choice() -> None:
    with pytest.raises(SuiteError, match="'no_code' is not one of 'em', 'mined', 'prefix'"):
        load_suite("micro", ("fusion.vocabulary=no_code",))
