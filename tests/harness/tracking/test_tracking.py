"""Runs on disk and what MLflow then holds: once, whatever happens on the way, and the numbers of now."""

import json
import multiprocessing
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from harness.core.exceptions import IncompleteError, InputError, TrackingError
from harness.core.record import Row, RunRecord
from harness.suite.spec import TrackingSpec
from harness.tracking import TrackingLinks, sync, sync_run
from harness.tracking.saved_view import view_tag
from tests.harness.sample_run import sample_run

pytestmark = pytest.mark.slow  # a database takes seconds to make

SPEC = TrackingSpec(experiment="fuse tests")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One database for the module (a new one takes seconds), in a folder whose name has a space."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield tmp_path_factory.mktemp("all results")


@pytest.fixture(scope="module")
def synced(results: Path) -> tuple[RunRecord, Path, TrackingLinks]:
    run_dir = results / "runs" / "sample-1"
    record = sample_run(run_dir, items=12, run="sample-1")
    (run_dir / "report.html").write_text("<p>first</p>")
    return record, run_dir, sync_run(run_dir, SPEC, results=results)


def _client(results: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{results}/mlflow.db")


def _runs(results: Path, run: str) -> dict[str, Any]:
    """Active MLflow runs of a run, by name; a duplicate fails."""
    client = _client(results)
    experiment = client.get_experiment_by_name(SPEC.experiment).experiment_id
    found = client.search_runs([experiment], f"tags.`fusegauge.run` = '{run}'")
    by_name = {r.info.run_name: r for r in found}
    assert len(by_name) == len(found), [r.info.run_name for r in found]
    return by_name


def _replace(run_dir: Path, record: RunRecord) -> None:
    (run_dir / "run.json").write_text(record.model_dump_json(), encoding="utf-8")


def _copy(results: Path, name: str, items: int = 2) -> tuple[RunRecord, Path]:
    run_dir = results / "runs" / name
    return sample_run(run_dir, items=items, run=name), run_dir


def _with_score(record: RunRecord, factor: float) -> RunRecord:
    """The record with every score of the fused model scaled."""
    before = record.comparison
    assert before.overall is not None
    rows = tuple(_scaled(row, factor) for row in before.rows)
    after = before.model_copy(update={"rows": rows, "overall": _scaled(before.overall, factor)})
    return record.model_copy(update={"comparison": after})


def _scaled(row: Row, factor: float) -> Row:
    cells = [c.model_copy(update={"value": factor * c.value}) if c.model == "fused" else c for c in row.cells]
    return row.model_copy(update={"cells": tuple(cells)})


def test_a_parent_and_a_child_per_model_with_equal_metrics(
    results: Path, synced: tuple[RunRecord, Path, TrackingLinks]
) -> None:
    record, _, links = synced
    runs = _runs(results, "sample-1")
    assert set(runs) == {"sample-1", *(m.name for m in record.models)}
    children = [runs[m.name] for m in record.models]
    assert {c.data.tags["mlflow.parentRunId"] for c in children} == {links.parent_run}
    scores = [{k for k in c.data.metrics if not k.startswith("training/")} for c in children]
    assert all(s == scores[0] and len(s) > 15 for s in scores)
    assert len({c.data.tags["mlflow.runColor"] for c in children}) == len(children)
    assert {i.dataset.name for i in runs["fused"].inputs.dataset_inputs} == {
        b.name for b in record.benchmarks
    }
    assert all(r.info.status == "FINISHED" for r in runs.values())
    assert runs["sample-1"].info.run_id == links.parent_run
    assert runs["sample-1"].data.tags["mlflow.note.content"].startswith(record.comparison.verdict.sentence)


def test_predictions_report_and_curves_are_there_to_be_opened(
    results: Path, synced: tuple[RunRecord, Path, TrackingLinks], tmp_path: Path
) -> None:
    record, _, links = synced
    client = _client(results)
    fused = _runs(results, "sample-1")["fused"]
    logged = json.loads(fused.data.tags["mlflow.loggedArtifacts"])
    assert {"path": "samples/capitals.json", "type": "table"} in logged
    path = client.download_artifacts(fused.info.run_id, "samples/capitals.json", str(tmp_path))
    table = json.loads(Path(path).read_text(encoding="utf-8"))
    assert table["columns"][:2] == ["item", "prediction"]
    assert len(table["data"]) == 12
    assert {a.path for a in client.list_artifacts(links.parent_run)} == {"report.html", "run.json"}
    assert str(results / "mlflow-artifacts") in path or (results / "mlflow-artifacts").is_dir()
    curve = client.get_metric_history(fused.info.run_id, "training/loss")
    points = next(c for c in record.training if c.model == "fused").points
    assert [(m.step, m.value) for m in curve] == [(int(p["step"]), p["loss"]) for p in points]


def test_the_saved_view_is_beside_the_runs_and_the_link_names_it(
    results: Path, synced: tuple[RunRecord, Path, TrackingLinks]
) -> None:
    _, _, links = synced
    tags = _client(results).get_experiment(links.experiment_id).tags
    assert len(tags[view_tag("sample-1")]) < 20_000
    assert view_tag("sample-1").removeprefix("mlflow.sharedViewState.") in links.view


def test_an_unchanged_run_is_found_and_not_written_again(
    results: Path, synced: tuple[RunRecord, Path, TrackingLinks], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    _, run_dir, links = synced

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("written again")

    for name in ("create_run", "log_batch", "log_text", "log_artifact", "delete_run"):
        monkeypatch.setattr(MlflowClient, name, refuse)
    assert sync_run(run_dir, SPEC, results=results) == links


def test_the_same_suite_run_again_keeps_its_runs_and_shows_the_new_report(
    results: Path, tmp_path: Path
) -> None:
    record, run_dir = _copy(results, "again")
    (run_dir / "report.html").write_text("old")
    before = sync_run(run_dir, SPEC, results=results)
    reused = tuple(stage.model_copy(update={"reused": True}) for stage in record.stages)
    later = record.created.replace(year=2027)
    _replace(run_dir, record.model_copy(update={"created": later, "stages": reused}))
    (run_dir / "report.html").write_text("new")
    assert sync_run(run_dir, SPEC, results=results) == before
    path = _client(results).download_artifacts(before.parent_run, "report.html", str(tmp_path))
    assert Path(path).read_text() == "new"
    parent = _runs(results, "again")["again"].info
    assert parent.end_time - parent.start_time == 1000 * sum(s.seconds for s in record.stages)


def test_a_corrected_lower_score_replaces_the_old_one(results: Path) -> None:
    record, run_dir = _copy(results, "corrected")
    _replace(run_dir, _with_score(record, 1.0))
    first = sync_run(run_dir, SPEC, results=results)
    before = _runs(results, "corrected")
    _replace(run_dir, _with_score(record, 0.5))
    second = sync_run(run_dir, SPEC, results=results)
    after = _runs(results, "corrected")
    for key in ("avg/overall", "reasoning/syllogisms.bits_per_byte"):
        old, new = before["fused"].data.metrics[key], after["fused"].data.metrics[key]
        assert old > 0
        assert new == pytest.approx(old / 2, abs=0.01)
    history = _client(results).get_metric_history(after["fused"].info.run_id, "avg/overall")
    assert len(history) == 1
    assert after["tiny-llama"].info.run_id == before["tiny-llama"].info.run_id  # its numbers are the same
    assert {
        c.data.tags["mlflow.parentRunId"] for c in after.values() if c.info.run_id != second.parent_run
    } == {second.parent_run}
    assert first.view == second.view  # a link that was passed on still opens


def test_a_model_that_left_the_run_leaves_mlflow(results: Path) -> None:
    record, run_dir = _copy(results, "fewer")
    sync_run(run_dir, SPEC, results=results)
    _replace(run_dir, record.model_copy(update={"models": record.models[1:]}))
    sync_run(run_dir, SPEC, results=results)
    assert set(_runs(results, "fewer")) == {"fewer", *(m.name for m in record.models[1:])}


class Killed(BaseException):
    """Not an Exception: nothing may catch it."""


@pytest.mark.parametrize("calls", [1, 3, 5, 11, 14, 30])
def test_stopped_at_any_call_and_run_again_leaves_no_duplicates(
    results: Path, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, run_dir = _copy(results, f"stopped-{calls}")
    _stop_after(calls, monkeypatch)
    with pytest.raises(Killed):
        sync_run(run_dir, SPEC, results=results)
    monkeypatch.undo()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sync_run(run_dir, SPEC, results=results)
    runs = _runs(results, record.run)
    assert set(runs) == {record.run, *(m.name for m in record.models)}
    assert all(r.info.status == "FINISHED" and r.data.metrics for r in runs.values())


def _stop_after(calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client make this many writing calls, the last one still reaching the database."""
    from mlflow import MlflowClient

    left = [calls]

    def counted(original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            left[0] -= 1
            if left[0] <= 0:
                raise Killed
            return result

        return call

    for name in (
        "create_run",
        "log_batch",
        "log_inputs",
        "set_tag",
        "update_run",
        "log_text",
        "set_terminated",
    ):
        monkeypatch.setattr(MlflowClient, name, counted(getattr(MlflowClient, name)))


def test_two_syncs_at_once_wait_for_each_other(results: Path) -> None:
    record, run_dir = _copy(results, "twice")
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(sync_run, run_dir, SPEC, results=results) for _ in range(2)]
    assert both[0].result() == both[1].result()
    assert len(_runs(results, "twice")) == 1 + len(record.models)


def test_two_processes_may_make_the_database_at_once(tmp_path: Path) -> None:
    """Two migrations of one new sqlite file break it; the lock lets the second find it made."""
    record, run_dir = _copy(tmp_path, "twice")
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_sync_elsewhere, args=(run_dir, tmp_path)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    assert len(_runs(tmp_path, "twice")) == 1 + len(record.models)


def _sync_elsewhere(run_dir: Path, results: Path) -> None:
    sync_run(run_dir, SPEC, results=results)


def test_a_sync_that_does_not_end_is_named_and_not_waited_for_for_ever(
    results: Path, synced: tuple[RunRecord, Path, TrackingLinks], monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    monkeypatch.setattr(sync, "LOCK_SECONDS", 0.1)
    with FileLock(results / "mlflow.db.lock"), pytest.raises(TrackingError, match="another sync") as caught:
        sync_run(synced[1], SPEC, results=results)
    assert "fusegauge sync sample-1" in caught.value.remedy


def test_a_server_that_refuses_costs_seconds_and_the_results_stay(
    synced: tuple[RunRecord, Path, TrackingLinks], tmp_path: Path
) -> None:
    _, run_dir, _ = synced
    held = _contents(run_dir)
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    started = time.monotonic()
    with pytest.raises(TrackingError) as caught:
        sync_run(run_dir, TrackingSpec(uri=address), results=tmp_path)
    assert time.monotonic() - started < 30
    assert caught.value.exit_code == 6
    assert "`fusegauge sync sample-1`" in caught.value.remedy
    assert address in caught.value.message
    assert _contents(run_dir) == held


def test_a_server_that_never_answers_is_given_up(
    synced: tuple[RunRecord, Path, TrackingLinks], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")  # three tries; with the default they take 27 s
    with closing(socket.create_server(("127.0.0.1", 0), backlog=50)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(TrackingError):
            sync_run(synced[1], TrackingSpec(uri=address), results=tmp_path)
    assert time.monotonic() - started < 12


def test_a_database_that_is_none_is_refused_at_once(
    synced: tuple[RunRecord, Path, TrackingLinks], tmp_path: Path
) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is not a database, but long enough to look like one" * 20)
    started = time.monotonic()
    with pytest.raises(TrackingError, match="not a database"):
        sync_run(synced[1], SPEC, results=tmp_path)
    assert time.monotonic() - started < 5


def test_a_database_that_cannot_be_opened_is_not_tried_for_minutes(
    synced: tuple[RunRecord, Path, TrackingLinks], tmp_path: Path
) -> None:
    (tmp_path / "mlflow.db").mkdir()
    started = time.monotonic()
    with pytest.raises(TrackingError, match="unable to open"):
        sync_run(synced[1], SPEC, results=tmp_path)
    assert time.monotonic() - started < 5


def test_a_database_that_another_program_holds_is_named(
    results: Path, synced: tuple[RunRecord, Path, TrackingLinks], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.tracking.server._BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(results / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingError, match="locked"):
            sync_run(synced[1], SPEC, results=results)


def test_a_folder_without_a_record_is_an_unfinished_run(tmp_path: Path) -> None:
    with pytest.raises(IncompleteError, match=r"run\.json"):
        sync_run(tmp_path, SPEC, results=tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError, match="run record"):
        sync_run(tmp_path, SPEC, results=tmp_path)


def test_damaged_items_are_not_blamed_on_mlflow(results: Path) -> None:
    _, run_dir = _copy(results, "damaged")
    (run_dir / "items" / "capitals" / "fused.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="parquet"):
        sync_run(run_dir, SPEC, results=results)


def test_a_deleted_experiment_comes_back(results: Path) -> None:
    _, run_dir = _copy(results, "restored")
    spec = TrackingSpec(experiment="deleted once")
    first = sync_run(run_dir, spec, results=results)
    _client(results).delete_experiment(first.experiment_id)
    assert sync_run(run_dir, spec, results=results).experiment_id == first.experiment_id
    assert _client(results).get_experiment(first.experiment_id).lifecycle_stage == "active"


def test_the_same_through_a_server(tmp_path: Path) -> None:
    """Artifacts travel by HTTP then, and the page's own address is linked."""
    _, run_dir = _copy(tmp_path, "served")
    port = _unused_port()
    address = f"http://127.0.0.1:{port}"
    with _server(tmp_path, port):
        links = sync_run(run_dir, TrackingSpec(uri=address), results=tmp_path)
        assert sync_run(run_dir, TrackingSpec(uri=address), results=tmp_path) == links
        assert links.view.startswith(f"{address}/#/experiments/")
        assert links.command == ""
        from mlflow import MlflowClient

        found = MlflowClient(address).search_runs([links.experiment_id])
        assert len(found) == 6
        path = MlflowClient(address).download_artifacts(links.parent_run, "run.json", str(tmp_path))
        assert Path(path).read_bytes() == (run_dir / "run.json").read_bytes()


def test_killed_with_9_and_run_again_leaves_no_duplicates(tmp_path: Path) -> None:
    """A real process, killed as soon as its second run is in the database, while it holds the lock."""
    record, run_dir = _copy(tmp_path, "killed")
    process = multiprocessing.get_context("spawn").Process(target=_sync_elsewhere, args=(run_dir, tmp_path))
    process.start()
    for _ in range(2400):
        if _run_count(tmp_path / "mlflow.db") >= 2 or not process.is_alive():
            break
        time.sleep(0.05)
    process.kill()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    sync_run(run_dir, SPEC, results=tmp_path)
    runs = _runs(tmp_path, "killed")
    assert set(runs) == {"killed", *(m.name for m in record.models)}
    assert all(r.info.status == "FINISHED" for r in runs.values())


def _run_count(database: Path) -> int:
    """Runs in a database that may be in the making; opened so that it is not made here."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
        return int(opened.execute("SELECT count(*) FROM runs").fetchone()[0])
    return 0


def test_a_server_that_dies_in_the_middle_costs_seconds_and_the_next_sync_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    record, run_dir = _copy(tmp_path, "died")
    held = _contents(run_dir)
    port = _unused_port()
    spec = TrackingSpec(uri=f"http://127.0.0.1:{port}")
    created = MlflowClient.create_run
    with _server(tmp_path, port) as server:
        died: list[float] = []

        def dies_at_the_third(*args: Any, **kwargs: Any) -> Any:
            died.append(time.monotonic())
            if len(died) == 3:
                server.end()
            return created(*args, **kwargs)

        monkeypatch.setattr(MlflowClient, "create_run", dies_at_the_third)
        with pytest.raises(TrackingError) as caught:
            sync_run(run_dir, spec, results=tmp_path)
        assert time.monotonic() - died[-1] < 30
    assert caught.value.exit_code == 6
    assert _contents(run_dir) == held
    monkeypatch.setattr(MlflowClient, "create_run", created)
    with _server(tmp_path, port):
        links = sync_run(run_dir, spec, results=tmp_path)
        found = MlflowClient(spec.uri).search_runs([links.experiment_id])
        assert sorted(r.info.run_name for r in found) == sorted(["died", *(m.name for m in record.models)])
        assert all(r.info.status == "FINISHED" for r in found)


def _unused_port() -> int:
    """One that the system chooses: MLflow's usual one may be about to be taken by a test beside this."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _server:  # noqa: N801 - used as a function
    """An MLflow server for the time of a `with`; started in its own group, so that its workers end too."""

    def __init__(self, folder: Path, port: int) -> None:
        program = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
        where = [
            "--backend-store-uri",
            f"sqlite:///{folder}/s.db",
            "--artifacts-destination",
            str(folder / "a"),
        ]
        light = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        quiet = subprocess.DEVNULL
        self.address = ("127.0.0.1", port)
        self.process = subprocess.Popen(
            program + where,
            env={**os.environ, **light},
            stdout=quiet,
            stderr=quiet,
            cwd=folder,
            start_new_session=True,
        )

    def __enter__(self) -> "_server":
        for _ in range(240):
            with suppress(OSError), socket.create_connection(self.address, timeout=1):
                return self
            time.sleep(0.5)
        raise AssertionError("the server did not start")

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
