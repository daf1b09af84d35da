"""The micro suite, made small, through every stage and every command, as a person would call them."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from harness import commands
from harness.core.record import RunRecord
from tests.conftest import CHECKOUT, MadeOnce

pytestmark = pytest.mark.slow  # all of them read one run

SMALL = [
    "micro",
    "--limit=12",
    "--offline",
    *("--set", "corpus.documents=24"),
    *("--set", "training.max_steps=4"),
    *("--set", "tracking.enabled=false"),
]
SOURCES = {"llama-reasoning", "mpt-commonsense", "neox-code"}


def _call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(commands.main, [str(a) for a in arguments], catch_exceptions=False)


def _run_small(folder: Path) -> None:
    done = _call("run-suite", *SMALL, "--results", folder)
    assert done.exit_code == 0, done.output


@pytest.fixture
def results(made_once: MadeOnce, tmp_path: Path) -> Path:
    """A finished run, which the test may change."""
    return shutil.copytree(made_once("small_micro_run", _run_small), tmp_path / "results")


def _record(results: Path) -> RunRecord:
    (path,) = results.glob("runs/*/run.json")
    return RunRecord.model_validate_json(path.read_text())


def test_every_model_is_scored_on_the_same_items_of_three_capabilities(results: Path) -> None:
    record = _record(results)
    assert [m.role for m in record.models] == ["target", "source", "source", "source", "control", "fused"]
    assert {b.capability for b in record.benchmarks} == {"reasoning", "commonsense", "code"}
    for row in record.comparison.rows:
        assert len(row.cells) == 6
        assert len({cell.n for cell in row.cells}) == 1
        assert len(row.differences) == 5


def test_control_and_fused_start_from_the_target_and_end_elsewhere(results: Path) -> None:
    record = _record(results)
    prints = {m.name: m.fingerprint for m in record.models}
    assert len({prints["target"], prints["control"], prints["fused"]}) == 3
    tokens = {t.model: t.tokens for t in record.training}
    assert tokens["control"] == tokens["fused"] > 0


def test_coverage_and_attribution_are_kept(results: Path) -> None:
    record = _record(results)
    assert set(record.coverage) == SOURCES
    assert all(0 < c["positions"] <= 100 for c in record.coverage.values())
    assert sum(record.attribution.values()) == pytest.approx(100)
    assert set(record.attribution_by_part) == {"code", "commonsense", "reasoning"}
    for shares in record.attribution_by_part.values():
        assert set(shares) == {*SOURCES, "target"} and sum(shares.values()) == pytest.approx(100)


def test_the_run_folder_says_who_taught_which_document(results: Path) -> None:
    (path,) = results.glob("runs/*/attribution.parquet")
    table = pq.read_table(path).to_pydict()
    rows = {
        name: sum(n for n, m in zip(table["rows"], table["model"], strict=True) if m == name)
        for name in {*SOURCES, "target"}
    }
    shares = {name: 100 * n / sum(rows.values()) for name, n in rows.items()}
    assert shares == pytest.approx(_record(results).attribution)


def test_the_report_names_the_verdict_and_every_model(results: Path) -> None:
    record = _record(results)
    (page,) = results.glob("runs/*/report.html")
    text = page.read_text()
    assert all(m.name in text for m in record.models)
    assert "http://" not in text.replace("http://www.w3.org", "")


def test_a_second_run_reuses_every_stage(results: Path) -> None:
    done = _call("run-suite", *SMALL, "--results", results, "--json")
    assert done.exit_code == 0
    assert all(s["reused"] for s in json.loads(done.stdout)["stages"])


def test_a_changed_lambda_repeats_only_the_fused_training_and_its_scores(results: Path) -> None:
    done = _call("run-suite", *SMALL, "--set", "fusion.lm_loss_weight=0.7", "--results", results, "--json")
    repeated = {s["name"] for s in json.loads(done.stdout)["stages"] if not s["reused"]}
    benchmarks = {f"scoring:fused:micro_{c}" for c in ("reasoning", "commonsense", "code")}
    assert repeated == {"training:fused", *benchmarks}


def test_another_seed_trains_and_scores_again_and_is_part_of_the_comparison(results: Path) -> None:
    done = _call("run-suite", *SMALL, "--set", "seeds=2", "--results", results, "--json")
    record = RunRecord.model_validate_json(done.stdout)
    repeated = {":".join(s.name.split(":")[:2]) for s in record.stages if not s.reused}
    assert repeated == {
        f"{stage}:{kind}@1" for stage in ("training", "scoring") for kind in ("fused", "control")
    }
    assert (record.seeds, record.comparison.trainings) == ((0, 1), 2)
    assert [m.name for m in record.repeats] == ["control@1", "fused@1"]
    against = [d for row in record.comparison.rows for d in row.differences if d.opponent == "control"]
    assert all(d.between is not None for d in against)
    weights = {m.name: m.fingerprint for m in (*record.models, *record.repeats)}
    assert weights["fused"] != weights["fused@1"]


def test_plan_says_what_is_there_and_what_the_rest_costs(results: Path, tmp_path: Path) -> None:
    there = json.loads(_call("plan", *SMALL, "--results", results, "--json").stdout)
    assert all(s["present"] for s in there["stages"])
    fresh = json.loads(_call("plan", *SMALL, "--results", tmp_path, "--json").stdout)
    assert not any(s["present"] for s in fresh["stages"])
    training = next(s for s in fresh["stages"] if s["name"] == "training:fused")
    assert training["flops"] > 0 and training["seconds"] > 0
    assert not list(tmp_path.glob("store/*/*"))  # planning computes nothing


def test_report_and_sync_find_the_run_by_name_or_path(results: Path) -> None:
    (folder,) = results.glob("runs/*")
    for name in (folder.name, folder, folder / "run.json"):
        done = _call("report", name, "--results", results)
        assert done.exit_code == 0, done.output
    wrong = _call("report", folder.name[:-1], "--results", results)
    assert wrong.exit_code == 2
    assert f"did you mean {folder.name!r}" in wrong.output


def test_a_baseline_holds_against_itself(results: Path, tmp_path: Path) -> None:
    (folder,) = results.glob("runs/*")
    saved = _call("baseline", "save", folder.name, "--to", tmp_path / "b.json", "--results", results)
    assert saved.exit_code == 0
    checked = _call("check", folder.name, "--baseline", tmp_path / "b.json", "--results", results)
    assert checked.exit_code == 0, checked.output


def test_only_runs_a_stage_and_what_it_needs(tmp_path: Path) -> None:
    done = _call("run-suite", *SMALL, "--only", "distributions:neox-code", "--results", tmp_path)
    assert done.exit_code == 0
    names = {
        p.parent.parent.relative_to(tmp_path / "store").as_posix()
        for p in tmp_path.glob("store/**/manifest.json")
    }
    models = {f"model/{m}" for m in ("target", *SOURCES)}
    assert names == {"corpus", "windows", "distributions/neox-code", *models}


def test_an_unknown_stage_is_refused_with_the_nearest(tmp_path: Path) -> None:
    done = _call("run-suite", *SMALL, "--only", "distribution", "--results", tmp_path)
    assert done.exit_code == 2
    assert "did you mean 'distributions'" in done.output


def test_a_corrupted_file_in_the_store_stops_the_run_and_is_named(results: Path) -> None:
    (teacher,) = (results / "store" / "fusion").glob("*/probabilities.npy")
    teacher.write_bytes(teacher.read_bytes()[:-1] + b"x")
    arguments = [sys.executable, "cli.py", "run-suite", *SMALL, "--results", str(results)]
    done = subprocess.run(arguments, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert f"corrupted file in the store: {teacher}" in done.stderr.replace("\n", "")
    shutil.rmtree(teacher.parent)
    assert _call("run-suite", *SMALL, "--results", results).exit_code == 0


def test_an_interrupted_run_says_so_and_goes_on(tmp_path: Path) -> None:
    arguments = [sys.executable, "cli.py", "run-suite", *SMALL, "--results", str(tmp_path)]
    arguments += ["--set", "training.max_steps=2000"]
    # What a shell starts in the background ignores SIGINT, and so would all that the tests start there.
    process = subprocess.Popen(
        arguments, cwd=CHECKOUT, stderr=subprocess.PIPE, text=True, preexec_fn=_hear_interrupts
    )
    _wait_for(lambda: list(tmp_path.glob("store/training/*/*.part-*")))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=180)  # a crowded machine takes its time to notice
    assert process.returncode == 130
    assert "finished stages are kept" in errors
    assert list(tmp_path.glob("store/fusion/*/manifest.json"))
    assert not list(tmp_path.glob("store/**/*.part-*"))


def _hear_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _wait_for(happened: Any, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_loss_that_becomes_nan_stops_the_stage_with_a_remedy(tmp_path: Path) -> None:
    wild = ["--set", "training.learning_rate=1e30", "--set", "training.max_grad_norm=0"]
    done = _call("run-suite", *SMALL, *wild, "--only", "training:control", "--results", tmp_path)
    assert done.exit_code == 5
    assert "stage training:control: the training loss became nan" in done.output
    assert "learning_rate" in done.output


def test_a_suite_with_mistakes_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    done = _call("run-suite", *SMALL, "--set", "fusion.aligment=em", "--set", "seed=x", "--results", tmp_path)
    assert done.exit_code == 2
    assert "2 mistakes" in done.output and "did you mean 'alignment'" in done.output
    assert not list(tmp_path.iterdir())


def test_part_of_a_stages_name_means_all_of_that_family() -> None:
    """`--only` takes a family at every colon, and refuses what is none with the nearest that is."""
    from harness.core.exceptions import SuiteError
    from harness.experiment import _only
    from harness.pipeline.graph import build_pipeline
    from harness.suite.load import load_suite
    from harness.suite.run_options import RunOptions

    pipeline = build_pipeline(load_suite("micro"), RunOptions(mirror=None, offline=True))
    chosen = {stage.name for stage in _only(pipeline, ["scoring:target"])}
    assert {name for name in chosen if name.startswith("scoring")} == {
        f"scoring:target:micro_{part}" for part in ("reasoning", "commonsense", "code")
    }
    with pytest.raises(SuiteError, match="did you mean 'scoring:target'"):
        _only(pipeline, ["scoring:targt"])
