"""The store keeps whole results and nothing else, whatever happens to the writer."""

import errno
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from harness.core.exceptions import InputError, StoreError
from harness.core.files import write_text_atomically
from harness.pipeline.runner import run_stages
from harness.pipeline.stage import Context, Stage, in_order
from harness.pipeline.store import Draft, Store
from tests.harness.observers import Silent


def _write(store: Store, text: str = "hello") -> Path:
    with store.write("corpus", "k1", {"params": {}}) as draft:
        (draft.folder / "a.txt").write_text(text)
        draft.facts["words"] = 1
    return store.folder("corpus", "k1")


def test_a_finished_entry_is_read_back_with_its_facts(tmp_path: Path) -> None:
    _write(Store(tmp_path))
    entry = Store(tmp_path).open("corpus", "k1")
    assert (entry.folder / "a.txt").read_text() == "hello"
    assert entry.facts == {"words": 1}
    assert entry.bytes == 5


@pytest.mark.parametrize("damage", [lambda p: p.write_text("hellO"), lambda p: p.unlink()])
def test_an_altered_or_missing_file_is_found_and_named(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    folder = _write(Store(tmp_path))
    damage(folder / "a.txt")
    with pytest.raises(StoreError, match=r"corrupted file.*a\.txt") as caught:
        Store(tmp_path).open("corpus", "k1")
    assert "delete the folder" in caught.value.remedy


def test_a_truncated_manifest_is_a_corrupted_entry(tmp_path: Path) -> None:
    folder = _write(Store(tmp_path))
    (folder / "manifest.json").write_text('{"stage": "cor')
    with pytest.raises(StoreError, match="corrupted"):
        Store(tmp_path).open("corpus", "k1")


def test_a_failing_writer_leaves_no_entry_and_no_rubbish(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.write("corpus", "k1", {}) as draft:
        (draft.folder / "half.txt").write_text("half")
        raise RuntimeError
    assert not store.has("corpus", "k1")
    assert list((tmp_path / "corpus").iterdir()) == []


def test_a_full_disk_says_so_with_the_remedy(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with (
        pytest.raises(StoreError, match="no space left while writing stage corpus") as caught,
        store.write("corpus", "k1", {}),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "finished stages are reused" in caught.value.remedy
    assert not store.has("corpus", "k1")


@pytest.mark.parametrize("below", ["file", "file/deep", "no-such-filesystem"])
def test_a_place_that_cannot_be_written_is_named_with_the_remedy(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    root = Path("/proc/xx") if below == "no-such-filesystem" else tmp_path / below
    store = Store(root)
    assert not store.has("corpus", "k1")
    with pytest.raises(InputError, match="cannot write to the folder") as caught, store.lock("corpus", "k1"):
        pass
    assert "--results" in caught.value.remedy
    with pytest.raises(InputError, match="cannot write to the folder"), store.write("corpus", "k1", {}):
        pass
    with pytest.raises(InputError, match="cannot write to the folder"):
        write_text_atomically(root / "run.json", "{}")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_folder_that_may_not_be_written_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), str(self))

    store = Store(tmp_path)
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(InputError, match=os.strerror(code)), store.write("corpus", "k1", {}):
        pass
    monkeypatch.undo()
    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with pytest.raises(InputError, match=os.strerror(code)), store.lock("corpus", "k1"):
        pass
    monkeypatch.setattr(Path, "is_file", refuse)
    if code == errno.EACCES:
        assert not store.has("corpus", "k1")


def test_a_full_disk_is_no_misuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StoreError, match="No space left"), Store(tmp_path).write("corpus", "k1", {}):
        pass


def test_an_error_of_the_work_is_not_taken_for_one_of_the_lock(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), Store(tmp_path).lock("corpus", "k1"):
        raise PermissionError(errno.EACCES, "elsewhere")


def _hang(root: str, started: str) -> None:
    with Store(Path(root)).write("corpus", "k1", {}) as draft:
        (draft.folder / "half.txt").write_text("half")
        Path(started).touch()
        time.sleep(60)


def test_a_killed_writer_is_swept_up_by_the_next(tmp_path: Path) -> None:
    started = tmp_path / "started"
    process = multiprocessing.get_context("spawn").Process(
        target=_hang, args=(str(tmp_path / "s"), str(started))
    )
    process.start()
    while not started.exists():
        time.sleep(0.02)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    store = Store(tmp_path / "s")
    assert not store.has("corpus", "k1")
    _write(store)
    assert [p.name for p in (tmp_path / "s" / "corpus").iterdir()] == ["k1"]


def _count(draft: Draft, _: Context) -> None:
    with (draft.folder.parents[2] / "calls").open("a") as calls:
        calls.write("x")
    time.sleep(0.5)
    (draft.folder / "out").write_text("done")


def _run_counted(root: str) -> None:
    stage = Stage("slow", {}, (), ("harness.core.exceptions",), _count)
    run_stages([stage], Store(Path(root) / "store"), Silent())


def test_two_runs_at_once_on_one_store_compute_a_stage_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    runs = [spawn.Process(target=_run_counted, args=(str(tmp_path),)) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [run.exitcode for run in runs] == [0, 0]
    assert (tmp_path / "calls").read_text() == "x"


def test_a_locked_key_is_refused_after_the_timeout(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with (
        store.lock("corpus", "k1"),
        pytest.raises(StoreError, match="another process"),
        store.lock("corpus", "k1", timeout=0.05),
    ):
        pass


def _stage(name: str, *inputs: Stage, code: str = "harness.core.exceptions", **params: object) -> Stage:
    def work(draft: Draft, context: Context) -> None:
        text = name + "".join((e.folder / "out").read_text() for e in context.inputs.values())
        (draft.folder / "out").write_text(text)

    return Stage(name, params, inputs, (code,), work)


def test_a_key_depends_on_parameters_inputs_and_code_and_on_nothing_else() -> None:
    base = _stage("b", _stage("a", x=1))
    assert base.key == _stage("b", _stage("a", x=1)).key
    assert base.key != _stage("b", _stage("a", x=2)).key
    assert base.key != _stage("b", _stage("a", x=1), y=1).key
    assert base.key != _stage("b", _stage("a", x=1), code="harness.pipeline.store").key
    assert base.key != _stage("c", _stage("a", x=1)).key


def test_a_library_in_the_key_is_named_with_its_release() -> None:
    plain, with_library = _stage("a"), replace(_stage("a"), libraries=("numpy",))
    assert plain.key != with_library.key
    assert with_library.describe()["libraries"] == {"numpy": version("numpy")}


def test_every_stage_comes_after_its_inputs_and_once() -> None:
    a = _stage("a")
    b, c = _stage("b", a), _stage("c", a)
    assert [s.name for s in in_order([_stage("d", b, c), c])] == ["a", "b", "c", "d"]


def test_a_second_run_reuses_and_a_changed_parameter_repeats_only_what_follows(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def run(x: int) -> dict[str, bool]:
        a = _stage("a")
        b = _stage("b", a, x=x)
        outcomes = run_stages(in_order([_stage("c", b)]), store, Silent())
        assert (outcomes["c"].entry.folder / "out").read_text() == "cba"
        return {name: o.reused for name, o in outcomes.items()}

    assert run(1) == {"a": False, "b": False, "c": False}
    assert run(1) == {"a": True, "b": True, "c": True}
    assert run(2) == {"a": True, "b": False, "c": False}


def test_scratch_survives_a_failed_attempt_and_goes_when_the_stage_is_done(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.write("training", "k", {}) as draft:
        draft.scratch.mkdir(parents=True)
        (draft.scratch / "checkpoint").touch()
        raise RuntimeError
    with store.write("training", "k", {}) as draft:
        assert (draft.scratch / "checkpoint").exists()
    assert not draft.scratch.exists()
