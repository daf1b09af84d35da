"""The tasks in many languages through lm-eval, with a model that says what it is told to."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.exceptions import InputError
from harness.core.record import Item
from harness.sandbox import ProgramVerdict, Ruling
from harness.sandbox.languages import self_test as trials
from harness.sandbox.languages import toolchains
from harness.scoring import (
    DatasetRef,
    LoadedLM,
    ScoringOptions,
    availability,
    datasets_of,
    how_executed,
    score_with_journal,
    task_fingerprint,
    validate_benchmarks,
)
from harness.scoring import execution as judging
from harness.scoring.execution import scores
from harness.suite.load import bundled_folder
from harness.suite.spec import BenchmarkSpec
from suites.tasks.languages.programs import cut, humaneval_candidates, multipl_e_candidates
from tests.harness.sandbox.languages import humaneval_rows, multipl_e_rows
from tests.harness.sandbox.languages.machine import require
from tests.harness.scoring.scoring_world import write_rows

FOLDER = bundled_folder() / "tasks" / "languages"
PASSED, FAILED, TIMED_OUT = (ProgramVerdict(r) for r in (Ruling.PASSED, Ruling.ERROR, Ruling.TIMEOUT))
NOT_COMPILED = ProgramVerdict(Ruling.ERROR, compiled=False)
TASKS = sorted(path.stem for path in FOLDER.glob("*.yaml") if ".template" not in path.name)
CONFIGS = {"javascript": "js", "perl": "pl", "ruby": "rb", "rust": "rs", "typescript": "ts"}


def config_of(task: str) -> DatasetRef:
    """The dataset of a task, as the hub names it."""
    family, _, language = task.rpartition("_")
    if family == "humaneval":
        return DatasetRef("mxeval/multi-humaneval", language)
    return DatasetRef("nuprl/MultiPL-E", f"humaneval-{CONFIGS.get(language, language)}")


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hub = tmp_path_factory.mktemp("hub")
    for language in multipl_e_rows.STOP_TOKENS:
        config = "go" if language == "go_test.go" else language
        rows = [multipl_e_rows.row(name, language) for name in multipl_e_rows.PROBLEMS]
        write_rows(hub / "nuprl" / "MultiPL-E" / f"humaneval-{config}" / "test.jsonl", rows)
    for language in humaneval_rows.BELOW_THRESHOLD:
        path = hub / "mxeval" / "multi-humaneval" / language / "test.jsonl"
        write_rows(path, [humaneval_rows.row(language)])
    return hub


@pytest.fixture(scope="module")
def options(mirror: Path) -> ScoringOptions:
    return ScoringOptions(
        mirror=mirror, offline=True, execution="sandbox", task_folders=(bundled_folder() / "tasks",)
    )


def benchmark(task: str, **settings: Any) -> BenchmarkSpec:
    told: dict[str, Any] = {"metrics": ("pass@1",), "executes_code": True, **settings}
    return BenchmarkSpec(name=task, tasks=(task,), **told)


def speaking(answer: Callable[[str, int], str]) -> LoadedLM:
    """A model that completes a prompt with `answer(prompt, how often it was asked before)`."""
    from lm_eval.api.model import LM

    class Speaker(LM):  # type: ignore[misc]
        def generate_until(self, requests: Sequence[Any], **_: Any) -> list[str]:
            asked: dict[str, int] = {}
            answers = []
            for prompt in (str(request.args[0]) for request in requests):
                answers.append(answer(prompt, asked.get(prompt, 0)))
                asked[prompt] = asked.get(prompt, 0) + 1
            return answers

        def loglikelihood(self, *_: Any, **__: Any) -> list[tuple[float, bool]]:
            raise AssertionError("there is no reference solution to score")

        loglikelihood_rolling = loglikelihood

    return LoadedLM(Path(), Speaker())


def solving(problems: dict[str, multipl_e_rows.Problem], fates: Sequence[str]) -> Callable[[str, int], str]:
    """Answers of the given fates, one after the other each time the same prompt comes."""
    known = {problem.prompt.strip(): problem for problem in problems.values()}
    return lambda prompt, before: getattr(known[prompt.strip()], fates[before % len(fates)])


def test_there_is_a_task_for_every_language_of_the_papers() -> None:
    nine = {"cpp", "go", "java", "javascript", "php", "r", "ruby", "rust", "typescript"}  # Python: humaneval
    assert {f"multipl_e_{language}" for language in nine} <= set(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_valid_and_reads_the_hubs_dataset(task: str, options: ScoringOptions) -> None:
    """Valid means too: built, its metrics asked for, without running a program."""
    spec = benchmark(task, metrics=("pass@1", "compiles", "timed_out"))
    assert validate_benchmarks([spec], options) == []
    assert datasets_of(spec, options) == [config_of(task)]


@pytest.mark.parametrize("task", ["multipl_e_javascript", "humaneval_javascript"])
def test_looking_at_a_task_runs_nothing(
    task: str, options: ScoringOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "judge_programs", lambda programs, backend: pytest.fail("a program was run"))
    assert validate_benchmarks([benchmark(task)], options) == []


def scored(spec: BenchmarkSpec, model: LoadedLM, options: ScoringOptions) -> list[Item]:
    items = score_with_journal(spec, model, options).items
    assert all(item.bits_per_byte is None for item in items)  # the datasets hold no solution
    return items


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fate", "found"),
    [
        ("right", {"pass@1": 1.0, "compiles": 1.0, "timed_out": 0.0}),
        ("wrong", {"pass@1": 0.0, "compiles": 1.0, "timed_out": 0.0}),
        ("broken", {"pass@1": 0.0, "compiles": 0.0, "timed_out": 0.0}),
    ],
)
@pytest.mark.parametrize("language", ["javascript", "java", "go"])
def test_multilingual_humaneval_is_scored_item_by_item(
    language: str, fate: str, found: dict[str, float], options: ScoringOptions
) -> None:
    require(language)
    problems = {language: humaneval_rows.BELOW_THRESHOLD[language]}
    [item] = scored(benchmark(f"humaneval_{language}"), speaking(solving(problems, [fate])), options)
    assert item.scores == found
    assert item.prompt == problems[language].prompt
    assert item.gold == problems[language].tests
    assert item.prediction.startswith(problems[language].prompt)


@pytest.mark.slow
def test_samples_give_an_unbiased_pass_at_k(options: ScoringOptions) -> None:
    """Of 10 samples 4 pass: pass@1 = 4/10, and pass@10 = 1, since 10 of 10 hold a right one."""
    require("javascript")
    problems = {"js": multipl_e_rows.BELOW_THRESHOLD["js"]}
    fates = ["right", "wrong", "right", "broken", "right", "wrong", "right", "wrong", "broken", "wrong"]
    sampled = {"do_sample": True, "temperature": 0.2}
    spec = benchmark("multipl_e_javascript", samples=10, gen_kwargs=sampled, limit=1, metrics=("pass@10",))
    [item] = scored(spec, speaking(solving(problems, fates)), options)
    assert item.scores == {"pass@1": 0.4, "pass@10": 1.0, "compiles": 0.8, "timed_out": 0.0}


def test_pass_at_k_of_fewer_samples_is_a_mistake(options: ScoringOptions) -> None:
    sampled = {"do_sample": True, "temperature": 0.2}
    few = benchmark("multipl_e_r", samples=9, gen_kwargs=sampled, metrics=("pass@10",))
    [mistake] = validate_benchmarks([few], options)
    assert "unknown metric 'pass@10'" in mistake
    assert "it gives pass@1, compiles, timed_out" in mistake
    enough = few.model_copy(update={"samples": 10})
    assert validate_benchmarks([enough], options) == []


def test_several_greedy_samples_are_a_mistake(options: ScoringOptions) -> None:
    [mistake] = validate_benchmarks([benchmark("multipl_e_r", samples=20)], options)
    assert "its 20 samples would be equal" in mistake
    assert "temperature" in mistake
    assert validate_benchmarks([benchmark("multipl_e_r", samples=1)], options) == []


def test_a_task_that_generates_nothing_has_no_samples(options: ScoringOptions) -> None:
    chosen = BenchmarkSpec(name="x", tasks=("micro_reasoning",), metrics=("acc",), samples=2)
    [mistake] = validate_benchmarks([chosen], options)
    assert "there is nothing to draw samples of" in mistake


@pytest.mark.slow
def test_a_language_is_tried_before_anything_is_generated(
    options: ScoringOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("javascript")
    monkeypatch.setattr(trials, "flaw", lambda language, backend: f"{language} is broken")
    model = speaking(lambda prompt, before: pytest.fail("asked in vain"))
    with pytest.raises(InputError, match=r"JavaScript cannot be judged here .*: javascript is broken"):
        score_with_journal(benchmark("multipl_e_javascript"), model, options)


@pytest.mark.parametrize(
    ("verdicts", "found"),
    [
        ([PASSED], {"pass@1": 1.0, "compiles": 1.0, "timed_out": 0.0}),
        ([TIMED_OUT], {"pass@1": 0.0, "compiles": 1.0, "timed_out": 1.0}),
        # 1 - C(9, 10) / C(10, 10) = 1
        (
            [PASSED] + [NOT_COMPILED] * 9,
            {"pass@1": 0.1, "pass@10": 1.0, "compiles": 0.1, "timed_out": 0.0},
        ),
        # 1 - C(10, 10) / C(11, 10) = 1 - 1/11
        (
            [PASSED] + [FAILED] * 10,
            {"pass@1": 1 / 11, "pass@10": 10 / 11, "compiles": 1.0, "timed_out": 0.0},
        ),
    ],
)
def test_scores_of_verdicts(verdicts: list[ProgramVerdict], found: dict[str, float]) -> None:
    assert scores(verdicts) == pytest.approx(found)


def test_a_completion_is_cut_at_the_first_of_its_documents_stop_tokens() -> None:
    row = multipl_e_rows.row("HumanEval_52_below_threshold", "rb")
    [[candidate]] = multipl_e_candidates([["  true\nend\n\nputs 1\ndef more\nend"]], [row])
    assert candidate == row["prompt"].strip() + "  true\nend"
    assert cut("abc", []) == "abc"
    assert cut("abcabc", ["c", "b"]) == "a"


@pytest.mark.parametrize(("language", "closed"), [("go", "\n}"), ("java", "\n    }\n}"), ("ruby", "\nend")])
def test_a_function_of_multilingual_humaneval_is_closed(language: str, closed: str) -> None:
    row = humaneval_rows.row(language)
    assert humaneval_candidates([["x"]], [row]) == [[f"{row['prompt']}x{closed}"]]


@pytest.fixture
def no_toolchains(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A machine whose commands are nowhere; Rust is looked for elsewhere and stays."""
    forget_toolchains()
    with monkeypatch.context() as patch:
        patch.setattr(toolchains, "PATH", str(tmp_path))
        yield
    forget_toolchains()


def forget_toolchains() -> None:
    toolchains.toolchain.cache_clear()
    toolchains.lacks.cache_clear()


@pytest.mark.usefixtures("no_toolchains")
def test_without_its_toolchain_a_benchmark_is_left_out_and_says_so(options: ScoringOptions) -> None:
    spec = benchmark("multipl_e_r")
    model = speaking(lambda prompt, before: pytest.fail("asked in vain"))
    assert validate_benchmarks([spec], options) == []
    assert [item.scores for item in scored(spec, model, options)] == [{}, {}]
    assert how_executed(spec, options) == "no toolchain: R"


def test_languages_pooled_into_one_benchmark_stand_or_fall_together(
    options: ScoringOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("multipl_e_r", "multipl_e_ruby")
    pooled = BenchmarkSpec(name="x", tasks=names, metrics=("pass@1",), executes_code=True)
    for missing in ((), ("r", "ruby")):
        monkeypatch.setattr(availability, "toolchain", lambda name, gone=missing: name not in gone or None)
        assert validate_benchmarks([pooled], options) == []
    monkeypatch.setattr(availability, "toolchain", lambda name: name != "r" or None)
    [mistake] = validate_benchmarks([pooled], options)
    assert "no toolchain for R; give each language a benchmark of its own" in mistake


def test_items_depend_on_the_toolchains_version(
    options: ScoringOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage keyed by them is run again once a language is there, or is another version."""
    seen = set()
    for version in (None, "R 4.2", "R 4.3"):
        found = version and SimpleNamespace(version=version)
        monkeypatch.setattr(availability, "toolchain", lambda name, found=found: found)
        seen.add(task_fingerprint(benchmark("multipl_e_r"), options))
    assert len(seen) == 3
