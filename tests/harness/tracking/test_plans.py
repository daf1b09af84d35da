"""What is going to be written to MLflow, before MLflow is asked."""

import json
import re
import subprocess
import sys
import zlib
from base64 import b64decode
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from harness.core.exceptions import InputError
from harness.core.record import Cell, Comparison, Item, Role, Row, RunRecord, TrainingCurve, Verdict
from harness.core.redaction import redact
from harness.suite.spec import TrackingSpec
from harness.tracking.links import links, ui_base, ui_command
from harness.tracking.metric_names import clean, distinct, metric_key
from harness.tracking.model_plan import (
    TABLE_ROWS,
    TEXT_SHOWN,
    colours_of,
    curve_keys,
    item_table,
    model_plans,
)
from harness.tracking.parent_plan import description, parent_plan
from harness.tracking.saved_view import LARGEST, view_value
from harness.tracking.scores import OVERALL_KEY, keyed_rows, scores_of
from harness.tracking.server import SETTINGS, locate
from harness.tracking.sync import _tracking_error
from tests.harness.sample_run import sample_run

MLFLOW_KEY = re.compile(r"^[A-Za-z0-9_.\-]+(/[A-Za-z0-9_.\-]+)?$")


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def record(run_dir: Path) -> RunRecord:
    return sample_run(run_dir, items=20)


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        ("acc,none", "acc_none"),
        ("pass@1", "pass_at_1"),
        ("100%", "100_percent"),
        ("exact_match,strict-match", "exact_match_strict-match"),
        ("a/b//c", "a_b_c"),
        ("../x..y", "x.y"),
        ("f1 (macro)", "f1_macro"),
        ("größe", "gr_e"),
        ("§", "unnamed"),
    ],
)
def test_names_are_cleaned_of_what_mlflow_refuses(given: str, cleaned: str) -> None:
    assert clean(given) == cleaned
    assert MLFLOW_KEY.match(metric_key(given, given, given))


def test_a_long_name_is_shortened_and_stays_its_own() -> None:
    one, other = clean("x" * 300 + "a"), clean("x" * 300 + "b")
    assert len(one) <= 120
    assert one != other


def test_names_that_clean_alike_stay_two_metrics() -> None:
    assert distinct(["a/b", "a/b", "a/c", "a/b"]) == ["a/b", "a/b-2", "a/c", "a/b-3"]


def test_scores_are_percent_with_averages_first_and_equal_keys_for_all_models(record: RunRecord) -> None:
    rows = keyed_rows(record.comparison)
    by_model = {m.name: scores_of(m.name, rows) for m in record.models}
    keys = {tuple(scores) for scores in by_model.values()}
    assert len(keys) == 1
    (order,) = keys
    assert order[0] == OVERALL_KEY
    assert {"reasoning/avg", "commonsense/avg", "code/avg"} <= set(order[1:7])
    assert "code/small_functions.pass_at_1" in order
    assert "code/small_functions.bits_per_byte" in order
    row = next(r for r in record.comparison.rows if r.benchmark == "syllogisms" and r.metric == "acc")
    cell = next(c for c in row.cells if c.model == "fused")
    assert by_model["fused"]["reasoning/syllogisms.acc"] == round(cell.value, 2)
    assert by_model["fused"]["reasoning/syllogisms.acc"] > 1


def test_every_score_is_the_comparisons_own(record: RunRecord) -> None:
    rows = [record.comparison.overall, *record.comparison.rows]
    values = [{c.model: c.value for c in row.cells} for row in rows if row]
    keyed = keyed_rows(record.comparison)
    assert len({each.key for each in keyed}) == len(values)
    assert sorted(each.values["fused"] for each in keyed) == sorted(each["fused"] for each in values)
    (overall,) = [each for each in keyed if each.key == OVERALL_KEY]
    assert overall.row == record.comparison.overall


def test_the_average_of_a_single_capability_is_the_overall_score() -> None:
    rows = (_row("x", "average", 50.0), _row("x", "a", 40.0, headline=True), _row("x", "b", 60.0))
    assert scores_of("fused", keyed_rows(_comparison(rows))) == {
        OVERALL_KEY: 50.0,
        "x/avg": 50.0,
        "x/a.acc": 40.0,
        "x/b.acc": 60.0,
    }


def test_deltas_are_fused_minus_opponent_and_the_best_source_is_chosen_per_metric(record: RunRecord) -> None:
    plan = parent_plan(record, Path("nowhere"), keyed_rows(record.comparison))
    row = next(r for r in record.comparison.rows if r.benchmark == "average" and r.capability == "code")
    paired = {d.opponent: d.difference for d in row.differences}
    cells = {c.model: c.value for c in row.cells}
    best = max(("logic-llama", "facts-neox"), key=lambda m: cells[m])
    assert plan.metrics["delta_vs_target/code.avg"] == round(paired["tiny-llama"], 2)
    assert plan.metrics["delta_vs_control/code.avg"] == round(paired["clm"], 2)
    assert plan.metrics["delta_vs_best_source/code.avg"] == round(paired[best], 2)
    assert all(MLFLOW_KEY.match(key) for key in plan.metrics)
    assert plan.metrics["attribution/facts-neox"] == 38.0
    assert plan.metrics["attribution/code.facts-neox"] == 30.0


def test_the_best_source_in_bits_per_byte_is_the_smallest(record: RunRecord) -> None:
    plan = parent_plan(record, Path("nowhere"), keyed_rows(record.comparison))
    row = next(r for r in record.comparison.rows if r.benchmark == "syllogisms" and r.unit == "bits/byte")
    cells = {c.model: c.value for c in row.cells}
    expected = cells["fused"] - min(cells["logic-llama"], cells["facts-neox"])
    found = plan.metrics["delta_vs_best_source/reasoning.syllogisms.bits_per_byte"]
    assert found == pytest.approx(expected, abs=1e-4)


def test_stage_costs_are_on_the_parent_with_their_total(record: RunRecord) -> None:
    plan = parent_plan(record, Path("nowhere"), keyed_rows(record.comparison))
    assert plan.metrics["cost/fuse.seconds"] == 2.5 + 17 * 2
    assert plan.metrics["cost/total.seconds"] == sum(stage.seconds for stage in record.stages)
    assert plan.duration == 1000 * plan.metrics["cost/total.seconds"]


def test_the_description_starts_with_the_verdict_and_fits_a_tag(record: RunRecord) -> None:
    text = description(record, keyed_rows(record.comparison))
    assert text.splitlines()[0] == record.comparison.verdict.sentence
    assert "| reasoning.avg |" in text
    many = _comparison(tuple(_row(f"c{i}", "b" * 60, float(i), headline=True) for i in range(200)))
    long = description(record.model_copy(update={"comparison": many}), keyed_rows(many))
    assert len(long) <= 7500
    assert all(
        line.count("|") == long.splitlines()[2].count("|") for line in long.splitlines() if "|" in line
    )


def test_every_model_has_its_own_colour_and_a_role_always_the_same(record: RunRecord) -> None:
    colours = colours_of(record.models)
    assert len(set(colours.values())) == len(colours)
    assert colours_of(record.models[::-1])["fused"] == colours["fused"]


def test_children_carry_parameters_of_what_was_done_to_them(record: RunRecord, run_dir: Path) -> None:
    plans = {p.name: p for p in model_plans(record, run_dir, keyed_rows(record.comparison))}
    assert plans["fused"].params["lambda"] == "0.9"
    assert plans["fused"].params["alignment"] == "end_byte"
    assert plans["clm"].params["lambda"] == "1"
    assert "lambda" not in plans["logic-llama"].params
    assert {"model", "role", "fingerprint", "seed"} <= set(plans["logic-llama"].params)
    assert plans["fused"].series["training/loss"][-1][0] == 400
    assert not plans["tiny-llama"].series


def test_long_curves_are_thinned_and_keep_their_last_point(record: RunRecord, run_dir: Path) -> None:
    points = tuple({"step": float(i), "loss": float(i)} for i in range(5001))
    nan = ({"step": 0.0, "grad_norm": float("nan")},)
    longer = record.model_copy(
        update={"training": (TrainingCurve(model="fused", tokens=1, points=points + nan),)}
    )
    plans = {p.name: p for p in model_plans(longer, run_dir, keyed_rows(record.comparison))}
    series = plans["fused"].series
    assert list(series) == ["training/loss"]
    assert len(series["training/loss"]) <= 1001
    assert series["training/loss"][-1] == (5000, 5000.0)


def test_the_training_loss_is_the_first_curve(record: RunRecord) -> None:
    keys = curve_keys(record.training)
    assert keys[0] == "training/loss"
    assert keys[-1] == "training/learning_rate"


def test_tables_have_item_and_prediction_first_and_the_same_items_in_any_order() -> None:
    items = [_item(i) for i in range(TABLE_ROWS + 5)]
    table, shuffled = item_table(items), item_table(items[::-1])
    assert table == shuffled
    parsed = json.loads(table)
    assert parsed["columns"][:3] == ["item", "prediction", "acc"]
    assert len(parsed["data"]) == TABLE_ROWS


def test_a_long_prompt_keeps_its_end_and_a_long_answer_its_start() -> None:
    item = _item(1).model_copy(
        update={"prompt": "shots " * 500 + "question?", "prediction": "yes" + "." * 5000}
    )
    (row,) = json.loads(item_table([item]))["data"]
    assert row[4].startswith("…") and row[4].endswith("question?") and len(row[4]) == TEXT_SHOWN + 1
    assert row[1].startswith("yes") and len(row[1]) == TEXT_SHOWN + 1


def test_a_score_that_is_not_a_number_becomes_an_empty_cell() -> None:
    item = _item(1).model_copy(update={"scores": {"acc": float("nan")}, "bits_per_byte": float("inf")})
    (row,) = json.loads(item_table([item]))["data"]
    assert row[2] is None
    assert row[-1] is None


def test_the_view_filters_its_run_and_subtracts_the_baseline() -> None:
    state = _unpacked(
        view_value("r1", ["avg/overall", "x/avg"], ["x/a.acc"], ["training/loss"], baseline="b0", created=1)
    )
    assert "'r1'" in state["searchFilter"]
    charts = {chart["type"]: chart for chart in state["compareRunCharts"]}
    assert charts["DIFFERENCE"]["baselineColumnUuid"] == "b0"
    assert charts["LINE"]["metricKey"] == "training/loss"
    identities = [chart["uuid"] for chart in state["compareRunCharts"]]
    assert len(set(identities)) == len(identities)
    sections = {section["uuid"] for section in state["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} == sections


def test_a_view_that_would_be_too_long_drops_charts_but_never_the_headlines() -> None:
    # hex digests do not compress: 3000 of them are well above the limit
    others = [f"s{i % 7}/{sha256(str(i).encode()).hexdigest()}" for i in range(3000)]
    value = view_value("r1", ["avg/overall", "x/avg"], others, [], baseline="b0", created=1)
    assert len(value) <= LARGEST
    keys = [chart.get("metricKey") for chart in _unpacked(value)["compareRunCharts"]]
    assert keys[:2] == ["avg/overall", "x/avg"]
    assert 100 < len(keys) < 3000


def test_links_open_the_saved_view_without_a_filter_beside_it() -> None:
    found = links("7", "p", ["a", "b"], "v", base="http://h:1/", command="c")
    assert found.view == (
        "http://h:1/#/experiments/7/runs?workflowType=machine_learning&compareRunsMode=CHART&viewStateShareKey=v"
    )
    assert found.report == (
        "http://h:1/#/experiments/7/runs/p/artifacts/report.html?workflowType=machine_learning"
    )
    assert "runs=%5B%22a%22%2C%22b%22%5D" in found.compare
    assert "searchFilter" not in found.view + found.table + found.samples


def test_the_page_is_the_server_itself_or_the_command_that_starts_one() -> None:
    assert ui_base("http://mlflow.example:8080", None) == "http://mlflow.example:8080"
    assert ui_command("http://mlflow.example:8080", "http://mlflow.example:8080") == ""
    base = ui_base("sqlite:////r s/mlflow.db", None)
    assert base == "http://127.0.0.1:5000"
    command = ui_command("sqlite:////r s/mlflow.db", base)
    assert "ui --backend-store-uri 'sqlite:////r s/mlflow.db' --port 5000" in command


def test_the_place_is_the_suites_then_the_environments_then_beside_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    default = locate(TrackingSpec(), tmp_path)
    assert default.uri == f"sqlite:///{tmp_path.as_posix()}/mlflow.db"
    assert default.artifacts == tmp_path / "mlflow-artifacts"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host:5000")
    assert locate(TrackingSpec(), tmp_path).artifacts is None
    assert "secret" not in locate(TrackingSpec(), tmp_path).shown
    assert locate(TrackingSpec(uri="sqlite:////a/b.db"), tmp_path).uri == "sqlite:////a/b.db"


def test_a_password_reaches_neither_link_nor_command() -> None:
    base = ui_base("http://me:secret@host:5000/mlflow", None)
    assert base == "http://host:5000/mlflow"  # the browser asks for the rest
    assert "secret" not in ui_command("postgresql://me:secret@host/db", base)


def test_an_address_whose_password_was_removed_is_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = TrackingSpec(uri=redact("http://me:secret@host:5000"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(InputError, match=r"http://me:\*\*\*@host:5000") as caught:
        locate(recorded, tmp_path)
    assert "MLFLOW_TRACKING_URI" in caught.value.remedy
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host:5000")
    assert locate(recorded, tmp_path).uri == "http://me:secret@host:5000"


def test_errors_of_mlflow_are_told_without_the_password(tmp_path: Path) -> None:
    store = locate(TrackingSpec(uri="http://me:se%20cret@host:5000"), tmp_path)
    reason = f"{'x' * 280} http://me:se%20cret@host:5000/api refused, password 'se cret' wrong"
    told = str(_tracking_error(RuntimeError(reason), store, tmp_path))
    assert "cret" not in told
    assert "http://me:***@host:5000" in told


def test_one_call_to_a_dead_server_ends_within_thirty_seconds() -> None:
    tries = int(SETTINGS["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]) + 1
    backoff = int(SETTINGS["MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR"])
    waits = sum(
        backoff * 2**n + 1 for n in range(tries - 1)
    )  # urllib3: factor * 2^n, and a jitter of up to 1
    assert tries * int(SETTINGS["MLFLOW_HTTP_REQUEST_TIMEOUT"]) + waits <= 30


def test_importing_the_room_does_not_import_mlflow() -> None:
    heavy = ("mlflow", "pandas", "torch", "pyarrow")
    code = f"import sys, harness.tracking; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _unpacked(value: str) -> dict[str, Any]:
    packed = json.loads(value)["state"].removeprefix("deflate;")
    state: dict[str, Any] = json.loads(zlib.decompress(b64decode(packed)))
    return state


def _item(index: int) -> Item:
    return Item(
        item=f"i{index:05d}",
        task="t",
        scores={"acc": 1.0},
        prediction="A",
        gold="A",
        prompt=f"question {index}",
    )


def _row(capability: str, benchmark: str, value: float, *, headline: bool = False) -> Row:
    return Row(
        capability=capability,
        benchmark=benchmark,
        metric="acc",
        unit="%",
        higher_is_better=True,
        headline=headline,
        cells=(Cell(model="fused", role=Role.FUSED, value=value, n=10),),
        differences=(),
    )


def _comparison(rows: Sequence[Row]) -> Comparison:
    verdict = Verdict(outcome="no change", sentence="Nothing changed.")
    return Comparison(rows=tuple(rows), confidence=0.95, verdict=verdict)
