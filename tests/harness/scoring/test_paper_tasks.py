"""The paper's benchmarks resolve in the installed lm-eval, and each new kind of task scores end to end.

Rows have the columns of the hub's datasets. The model is tiny, random and mostly wrong: what a right answer
gives is shown on the tasks' own functions.
"""

from pathlib import Path
from typing import Any

import pytest

from harness.core.record import Item
from harness.scoring import (
    DatasetRef,
    LoadedLM,
    ScoringOptions,
    datasets_of,
    load_lm,
    score_with_journal,
    validate_benchmarks,
)
from harness.scoring.catalogue import unknown_tasks
from harness.scoring.options import scoring_options
from harness.suite.load import bundled_suites, load_suite
from harness.suite.run_options import RunOptions
from harness.suite.spec import BenchmarkSpec, LoadedSuite
from suites.tasks.paper_functions import chrf, last_number, number_is_right
from tests.harness.scoring.scoring_world import WORDS, write_model, write_rows

MULTIPL_E = {
    "cpp": "cpp",
    "go": "go",
    "java": "java",
    "javascript": "js",
    "php": "php",
    "r": "r",
    "ruby": "rb",
    "rust": "rs",
    "typescript": "ts",
}
DATASETS = {
    "bbh": DatasetRef("SaylorTwift/bbh", "boolean_expressions"),
    "arc_easy": DatasetRef("allenai/ai2_arc", "ARC-Easy"),
    "arc_challenge": DatasetRef("allenai/ai2_arc", "ARC-Challenge"),
    "boolq": DatasetRef("aps/super_glue", "boolq"),
    "hellaswag": DatasetRef("Rowan/hellaswag"),
    "openbookqa": DatasetRef("allenai/openbookqa", "main"),
    **{
        f"multipl_e_{language}": DatasetRef("nuprl/MultiPL-E", f"humaneval-{config}")
        for language, config in MULTIPL_E.items()
    },
    "multipl_e_python": DatasetRef("openai/openai_humaneval"),
    "trivia_qa": DatasetRef("mandarjoshi/trivia_qa", "rc.nocontext"),
    "drop": DatasetRef("EleutherAI/drop"),
    "lambada": DatasetRef("EleutherAI/lambada_openai", "default"),
    "scibench": DatasetRef("xw27/scibench"),
    "iwslt2017": DatasetRef("IWSLT/iwslt2017", "iwslt2017-en-de"),
}


def boolq_row(i: int) -> dict[str, Any]:
    return {"passage": f"The {WORDS[i]} is here.", "question": f"is the {WORDS[i]} here", "label": i % 2}


def hellaswag_row(i: int) -> dict[str, Any]:
    endings = [f"sees a {WORDS[(i + j) % 12]}." for j in range(4)]
    context = {"activity_label": "Seeing", "ctx_a": "A cat waits.", "ctx_b": "it"}
    return {**context, "endings": endings, "label": str(i % 4)}


def trivia_row(i: int) -> dict[str, Any]:
    answer = {"value": WORDS[i], "aliases": [f"({WORDS[i]})", WORDS[i]], "normalized_value": WORDS[i]}
    return {"question": f"What follows {i}", "question_id": f"q{i}", "answer": answer}


def drop_row(i: int) -> dict[str, Any]:
    """The first has a number, the second two spans, the third a date: every kind of answer there is."""
    date = {"day": "", "month": "", "year": ""}
    own = [
        {"number": "7", "date": date, "spans": []},
        {"number": "", "date": date, "spans": ["red", "blue"]},
        {"number": "", "date": {"day": "3", "month": "May", "year": "1901"}, "spans": []},
    ][i % 3]
    checked = {"number": [own["number"]], "date": [own["date"]], "spans": [own["spans"]]}
    return {
        "section_id": f"s{i}", "query_id": f"q{i}", "passage": "Seven stars.", "question": "How many?",
        "answer": {**own, "worker_id": "", "hit_id": ""},
        "validated_answers": {**checked, "worker_id": [""], "hit_id": [""]},
    }  # fmt: skip


def scibench_row(i: int) -> dict[str, Any]:
    return {
        "problem_text": f"Add {i} and one.", "answer_number": f"{i + 1}.0", "unit": " m " if i else " ",
        "answer_latex": "", "source": "test", "problemid": str(i), "comment": " ", "solution": "",
    }  # fmt: skip


def lambada_row(i: int) -> dict[str, Any]:
    return {"text": f"A cat sees a {WORDS[i]}"}


def translation_row(i: int) -> dict[str, Any]:
    return {"translation": {"en": f"the {WORDS[i]}", "de": f"über {WORDS[i]}"}}


def later_translation_row(i: int) -> dict[str, Any]:
    return translation_row(i + 6)


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    rows = {
        ("aps/super_glue/boolq", "validation"): boolq_row,
        ("Rowan/hellaswag", "validation"): hellaswag_row,
        ("mandarjoshi/trivia_qa/rc.nocontext", "validation"): trivia_row,
        ("EleutherAI/drop", "validation"): drop_row,
        ("EleutherAI/lambada_openai/default", "test"): lambada_row,
        ("xw27/scibench", "train"): scibench_row,
        ("IWSLT/iwslt2017/iwslt2017-en-de", "test"): translation_row,
        ("IWSLT/iwslt2017/iwslt2017-en-de", "validation"): later_translation_row,
    }
    for (path, split), row in rows.items():
        write_rows(folder / path / f"{split}.jsonl", [row(i) for i in range(3)])
    for path in (
        "aps/super_glue/boolq",
        "Rowan/hellaswag",
        "mandarjoshi/trivia_qa/rc.nocontext",
        "EleutherAI/drop",
    ):
        train = folder / path / "train.jsonl"
        train.write_bytes((folder / path / "validation.jsonl").read_bytes())
    return folder


@pytest.fixture(scope="module")
def paper() -> LoadedSuite:
    return load_suite("fusellm-7b")


@pytest.fixture(scope="module")
def rows(paper: LoadedSuite) -> dict[str, BenchmarkSpec]:
    return {b.name: b for group in paper.suite.benchmarks.values() for b in group}


@pytest.fixture(scope="module")
def options(mirror: Path) -> ScoringOptions:
    cpu = ["scoring.device=cpu", "scoring.dtype=float32", "scoring.batch_size=4"]
    return scoring_options(load_suite("fusellm-7b", cpu), RunOptions(mirror=mirror, offline=True))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, options: ScoringOptions) -> LoadedLM:
    return load_lm(write_model(tmp_path_factory.mktemp("model")), options)


@pytest.mark.parametrize("suite", sorted(bundled_suites()))
def test_every_task_that_a_bundled_suite_names_is_known(suite: str) -> None:
    loaded = load_suite(suite)
    options = scoring_options(loaded, RunOptions(offline=True))
    names = [t for group in loaded.suite.benchmarks.values() for b in group for t in b.tasks]
    assert unknown_tasks(names, options) == []


def test_the_papers_benchmarks_read_these_datasets(
    rows: dict[str, BenchmarkSpec], options: ScoringOptions
) -> None:
    """As the hub names them: a mirror must have these folders."""
    assert {name: datasets_of(benchmark, options)[0] for name, benchmark in rows.items()} == DATASETS


NEW = {  # benchmark -> the gold of its three items, as bits per byte are measured on it
    "boolq": ["no", "yes", "no"],
    "hellaswag": ["sees a red.", "sees a blue.", "sees a two."],  # WORDS[i + label]: 0, 2, 4
    "trivia_qa": ["red", "green", "blue"],
    "drop": [" 7", " red, blue", " 3 May 1901"],
    "lambada": ["red", "green", "blue"],
    "scibench": ["1.0", "2.0", "3.0"],
    "iwslt2017": ["über red", "über green", "über blue"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NEW)
def test_a_benchmark_of_the_paper_is_scored_item_by_item(
    name: str, rows: dict[str, BenchmarkSpec], options: ScoringOptions, model: LoadedLM
) -> None:
    spec = rows[name]
    if spec.gen_kwargs:
        spec = spec.model_copy(update={"gen_kwargs": {"max_gen_toks": 4}})
    assert validate_benchmarks([spec], options) == []
    items = score_with_journal(spec, model, options).items
    assert [item.gold for item in items] == NEW[name]
    assert all(set(spec.metrics) <= set(item.scores) for item in items)
    assert all(0 <= item.scores[m] <= 1 for item in items for m in spec.metrics)
    assert all(item.bits_per_byte is not None for item in items)
    assert all(_follows_a_space(item) for item in items)


def _follows_a_space(item: Item) -> bool:
    """The gold continues the prompt with exactly one space: its bytes are the answer's and one more."""
    return item.gold_bytes == len(f" {item.gold.strip()}".encode())


def test_worked_examples_of_the_translation_are_the_first_of_the_validation_split(
    rows: dict[str, BenchmarkSpec], options: ScoringOptions, model: LoadedLM
) -> None:
    spec = rows["iwslt2017"].model_copy(update={"limit": 1, "gen_kwargs": {"max_gen_toks": 1}})
    [item] = score_with_journal(spec, model, options).items
    example = f"English phrase: the {WORDS[6]}\nGerman phrase: über {WORDS[6]}"
    asked = item.gold.removeprefix("über ")
    assert item.prompt == f"{example}\n\nEnglish phrase: the {asked}\nGerman phrase:"


def test_lm_evals_own_translation_tasks_score_no_single_document(
    mirror: Path, options: ScoringOptions
) -> None:
    """Why there is a task of our own: these give pairs of texts, of which only a corpus has a BLEU."""
    row = {"translation": {"en": "a cat", "ar": "قطة"}}
    for split in ("train", "validation", "test"):
        write_rows(mirror / "IWSLT/iwslt2017/iwslt2017-en-ar" / f"{split}.jsonl", [row])
    spec = BenchmarkSpec(name="x", tasks=("iwslt2017-ar-en",), metrics=("bleu",))
    [mistake] = validate_benchmarks([spec], options)
    assert "unknown metric 'bleu'; it gives none" in mistake


def test_a_translation_is_scored_by_characters() -> None:
    doc = translation_row(0)
    assert chrf(doc, [" über red\n"]) == {"chrf": 1.0}
    assert 0 < chrf(doc, ["über rot"])["chrf"] < 1
    assert chrf(doc, ["xyz"]) == {"chrf": 0.0}


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        (" The sum is 200.", 1.0),
        ("100 + 100 = 209.9", 1.0),  # 200 within 5 % of the larger, 10.495
        ("211", 0.0),
        ("-200", 0.0),
        ("2.0e2", 1.0),
        ("", 0.0),
    ],
)
def test_a_number_is_right_within_five_percent(answer: str, right: float) -> None:
    assert number_is_right({"answer_number": "200"}, [answer]) == {"acc": right}


@pytest.mark.parametrize(
    ("text", "number"),
    [("1,234.5 m", 1234.5), ("x = .5", 0.5), ("7.", 7.0), ("1e-3", 0.001), ("none", None)],
)
def test_the_last_number_of_a_text(text: str, number: float | None) -> None:
    assert last_number(text) == number


def test_drop_has_no_worked_examples_because_lm_evals_show_columns_as_answers(
    rows: dict[str, BenchmarkSpec], options: ScoringOptions, model: LoadedLM
) -> None:
    """If this fails, lm-eval has mended its task: give the suite's benchmark its worked example back."""
    shown = {"num_fewshot": 1, "limit": 1, "gen_kwargs": {"max_gen_toks": 1}}
    [item] = score_with_journal(rows["drop"].model_copy(update=shown), model, options).items
    assert "number,date,spans" in item.prompt
    assert rows["drop"].num_fewshot == 0
