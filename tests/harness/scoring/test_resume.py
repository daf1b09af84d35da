"""A scoring that is killed goes on with exactly what is left, and with nothing of another model or task."""

import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.core.record import Item
from harness.core.run_files import read_items
from harness.pipeline.graph import build_pipeline
from harness.pipeline.runner import StageResult, run_stages
from harness.pipeline.store import Store
from harness.scoring import ScoringOptions, load_lm, score_with_journal, tasks
from harness.suite.load import load_suite
from harness.suite.run_options import RunOptions
from harness.suite.spec import BenchmarkSpec
from tests.conftest import CHECKOUT
from tests.harness.observers import Silent
from tests.harness.scoring.scoring_world import arc_row, write_mirror, write_model, write_rows

ARC = BenchmarkSpec(name="arc", tasks=("arc_easy",), metrics=("acc",), num_fewshot=2)
GSM8K = BenchmarkSpec(
    name="gsm8k", tasks=("gsm8k",), metrics=("exact_match",), num_fewshot=1, gen_kwargs={"max_gen_toks": 4}
)
SUITE = """
version: 1
name: tiny
target: {name: target, model: ./model}
sources: [{name: other, model: ./model}]
corpus: {kind: generated, generator: micro, documents: 4}
benchmarks:
  reasoning: [{name: arc, tasks: arc_easy, num_fewshot: 2, limit: 6, metrics: acc}]
scoring: {backend: hf, batch_size: 1, device: cpu} # whose calls are counted, one a request
"""


class KilledError(Exception):
    """What stands for a crash in the middle of a model's work."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a mirror and a suite over both."""
    folder = tmp_path_factory.mktemp("world")
    write_model(folder / "model")
    write_mirror(folder / "hub")
    (folder / "tiny.yaml").write_text(SUITE)
    return folder


@pytest.fixture(scope="module")
def options(world: Path) -> ScoringOptions:
    return ScoringOptions(mirror=world / "hub", offline=True, device="cpu", batch_size=1, backend="hf")


class Calls:
    """Counts a model's calls, one for each batch, and breaks off after `allowed` of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
        from lm_eval.models.huggingface import HFLM

        self.made, self.allowed = 0, sys.maxsize
        original = getattr(HFLM, method)

        def counted(lm: Any, *arguments: Any, **settings: Any) -> Any:
            if self.made == self.allowed:
                raise KilledError
            self.made += 1
            return original(lm, *arguments, **settings)

        monkeypatch.setattr(HFLM, method, counted)

    def of(self, work: Any, allowed: int = sys.maxsize) -> int:
        """The calls that `work` makes until it ends or breaks off."""
        self.made, self.allowed = 0, allowed
        if allowed == sys.maxsize:
            work()
        else:
            with pytest.raises(KilledError):
                work()
        return self.made


@pytest.mark.slow
@pytest.mark.parametrize(
    ("benchmark", "method"), [(ARC, "_model_call"), (GSM8K, "_model_generate"), (GSM8K, "_model_call")]
)
def test_a_second_attempt_makes_exactly_the_calls_that_are_left(
    benchmark: BenchmarkSpec,
    method: str,
    world: Path,
    options: ScoringOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Choices, generations and gold continuations; the first attempt breaks off after 3 batches of one."""
    model = load_lm(world / "model", options)
    unbroken: list[Item] = []
    finished: list[Item] = []
    calls = Calls(monkeypatch, method)
    all_calls = calls.of(lambda: unbroken.extend(score_with_journal(benchmark, model, options).items))

    def attempt() -> None:
        finished.extend(score_with_journal(benchmark, model, options, journal=tmp_path).items)

    assert calls.of(attempt, allowed=3) == 3
    assert calls.of(attempt) == all_calls - 3 > 0
    assert finished == unbroken
    scored = score_with_journal(benchmark, model, options, journal=tmp_path)
    assert (scored.items, scored.answers_computed) == (unbroken, 0)


@pytest.mark.slow
@pytest.mark.parametrize("benchmark", [ARC, GSM8K])
def test_our_own_class_goes_on_at_the_next_unfinished_pass(
    benchmark: BenchmarkSpec,
    world: Path,
    options: ScoringOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Small passes; the third one breaks off. What the finished ones answered is not asked again."""
    from harness.scoring.shared_prefix import lm as room

    model = load_lm(world / "model", replace(options, backend="fusegauge"))
    unbroken = score_with_journal(benchmark, model, options)
    left = iter(range(3))

    def breaks_off(index: int, answer: Any, tell: Any) -> None:
        if next(left, None) is None:
            raise KilledError
        tell(index, answer)

    for name in ("score", "generate"):
        work = getattr(room, name)

        def broken(*arguments: Any, work: Any = work, **settings: Any) -> Any:
            *others, tell = arguments if "done" not in settings else (*arguments, settings.pop("done"))
            done = partial(breaks_off, tell=tell)
            return work(*others, **({**settings, "done": done}))

        monkeypatch.setattr(room, name, broken)
    with pytest.raises(KilledError):
        score_with_journal(benchmark, model, options, journal=tmp_path)
    monkeypatch.undo()
    scored = score_with_journal(benchmark, model, options, journal=tmp_path)
    assert scored.answers_reused == 3
    assert scored.answers_computed == unbroken.answers_computed - 3
    assert [(i.item, i.scores, i.prediction) for i in scored.items] == [
        (i.item, i.scores, i.prediction) for i in unbroken.items
    ]


KILLED = """
import os, signal, sys
from functools import partial
from pathlib import Path
import harness.scoring.score as score
from harness.scoring.journal import Journal
from tests.harness.scoring.test_resume import ARC, ScoringOptions, load_lm

world, journal = Path(sys.argv[1]), Path(sys.argv[2])
score.Journal = partial(Journal, answers=4, seconds=1e9)
options = ScoringOptions(mirror=world / "hub", offline=True, device="cpu", batch_size=1, backend="hf")

def report(done, total):
    if done == 10:
        os.kill(os.getpid(), signal.SIGKILL)

score.score_with_journal(ARC, load_lm(world / "model", options), options, journal=journal, report=report)
"""


@pytest.mark.slow
def test_a_killed_process_leaves_every_part_it_had_written(
    world: Path, options: ScoringOptions, tmp_path: Path
) -> None:
    """With 4 answers a part, 2 parts are whole when the process dies at its 10th answer."""
    command = [sys.executable, "-c", KILLED, str(world), str(tmp_path)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    model = load_lm(world / "model", options)
    unbroken = score_with_journal(ARC, model, options)
    scored = score_with_journal(ARC, model, options, journal=tmp_path)
    assert scored.items == unbroken.items
    assert scored.answers_reused == 8
    assert scored.answers_computed == unbroken.answers_computed - 8


# --- stages


def run(world: Path, store: Store, *overrides: str) -> StageResult:
    """The scoring of the target and what it needs, through the store."""
    settings = RunOptions(mirror=world / "hub", offline=True)
    pipeline = build_pipeline(load_suite(world / "tiny.yaml", overrides), settings)
    stages = pipeline.only(["scoring:target:arc"])
    return run_stages(stages, store, Silent())["scoring:target:arc"]


def killed(world: Path, store: Store, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> None:
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        Calls(patch, "_model_call").allowed = 5
        run(world, store, *overrides)


def scratch(store: Store) -> list[Path]:
    return list((store.root / "scratch").rglob("*.parquet"))


def test_a_stage_goes_on_says_so_and_leaves_no_journal(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(world, Store(tmp_path / "whole")).entry
    store = Store(tmp_path / "broken")
    killed(world, store, monkeypatch)
    assert scratch(store)
    entry = run(world, store, "scoring.batch_size=2").entry  # the batch size does not decide the numbers
    assert entry.facts["answers_reused"] >= 5
    assert entry.facts["answers_reused"] + entry.facts["answers_computed"] == 6 * 4
    assert whole.facts["answers_reused"] == 0
    assert whole.facts["answers_computed"] == 6 * 4
    ours, theirs = (read_items(e.folder / "items.parquet") for e in (entry, whole))
    assert [(i.item, i.scores, i.prediction) for i in ours] == [
        (i.item, i.scores, i.prediction) for i in theirs
    ]
    assert not scratch(store)
    assert [p.name for p in entry.folder.glob("*.parquet")] == ["items.parquet"]


def _other_weights(world: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = world / "model" / "model.safetensors"
    save_file({k: v * 1.01 for k, v in load_file(path).items()}, path, metadata={"format": "pt"})


def _other_data(world: Path) -> None:
    tasks._inspected.cache_clear()  # tasks are read once in a process, and this stands for another one
    rows = [arc_row(i) | {"answerKey": "A"} for i in range(20, 30)]
    write_rows(world / "hub" / "allenai" / "ai2_arc" / "ARC-Easy" / "test.jsonl", rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "override"),
    [
        (_other_weights, ""),
        (_other_data, ""),
        (None, "scoring.seed=5"),
        (None, "scoring.dtype=bfloat16"),
        (None, "target.bos=true"),
        (None, "benchmarks.reasoning.arc.num_fewshot=1"),
        (None, "benchmarks.reasoning.arc.limit=7"),
    ],
)
def test_nothing_of_another_model_task_or_seed_is_reused(
    change: Any, override: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of these ask with the same words: the folder tells their answers apart, not the prompt alone."""
    write_model(tmp_path / "model")
    write_mirror(tmp_path / "hub")
    (tmp_path / "tiny.yaml").write_text(SUITE)
    store = Store(tmp_path / "store")
    killed(tmp_path, store, monkeypatch)
    before = scratch(store)
    if change:
        change(tmp_path)
    facts = run(tmp_path, store, *([override] if override else [])).entry.facts
    assert facts["answers_reused"] == 0
    assert facts["answers_computed"] == facts["items"] * 4
    assert scratch(store) == before  # the first attempt's are still there for who goes back to it


@pytest.mark.slow
def test_a_model_made_again_under_its_key_with_other_weights_reuses_nothing(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that is repeated on a GPU may end elsewhere, and a branch of the hub may have moved."""
    store = Store(tmp_path)
    killed(world, store, monkeypatch)
    original = Store.open

    def other(store: Store, stage: str, key: str) -> Any:
        entry = original(store, stage, key)
        facts = {**entry.facts, "fingerprint": "other"} if stage.startswith("model:") else entry.facts
        return replace(entry, facts=facts)

    monkeypatch.setattr(Store, "open", other)
    assert run(world, store).entry.facts["answers_reused"] == 0
