"""Scoring: items, bits per byte, the mirror, refusal, fingerprints and what bad input gets."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from harness.core.exceptions import InputError
from harness.core.record import Item
from harness.sandbox import confining
from harness.scoring import (
    DatasetRef,
    LoadedLM,
    ScoringOptions,
    datasets_of,
    load_lm,
    score_with_journal,
    task_fingerprint,
    validate_benchmarks,
)
from harness.scoring.gold import Gold, bits_per_byte
from harness.scoring.samples import doc_hash, item_ids
from harness.suite.load import bundled_folder
from harness.suite.spec import BenchmarkSpec
from tests.harness.scoring.scoring_world import arc_row, humaneval_row, write_mirror, write_model, write_rows


def benchmark(name: str, metric: str, **others: Any) -> BenchmarkSpec:
    return BenchmarkSpec(**{"name": name, "tasks": (name,), "metrics": (metric,), **others})


ARC = benchmark("arc_easy", "acc")
GSM8K = benchmark("gsm8k", "exact_match", num_fewshot=2, limit=4, gen_kwargs={"max_gen_toks": 4})
HUMANEVAL = benchmark(
    "humaneval",
    "pass@1",
    gold="{{canonical_solution}}",
    executes_code=True,
    gen_kwargs={"max_gen_toks": 4},
)


MICRO_TASKS = bundled_folder() / "tasks"
LAST_WORD = """
task: last_word
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
output_type: loglikelihood
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_target: " {{{{answer}}}}"
metric_list:
  - {{metric: perplexity, aggregation: perplexity, higher_is_better: false}}
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
"""


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mirror(tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def options(mirror: Path) -> ScoringOptions:
    return ScoringOptions(mirror=mirror, offline=True, device="cpu", batch_size=16)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, options: ScoringOptions) -> LoadedLM:
    return load_lm(write_model(tmp_path_factory.mktemp("model")), options)


@pytest.fixture(scope="module")
def arc_items(model: LoadedLM, options: ScoringOptions) -> list[Item]:
    return score_with_journal(ARC, model, options).items


# --- noise


def test_nothing_stands_on_stderr_outside_a_repository(
    model: LoadedLM,
    options: ScoringOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """lm-eval asks git for the commit of the current folder, and git complains where there is none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "none"))  # where temporary files lie in a repository too
    score_with_journal(ARC, model, options)
    assert capfd.readouterr().err == ""


# --- items


def test_multiple_choice_bits_per_byte_equal_a_request_of_their_own(
    model: LoadedLM, options: ScoringOptions, arc_items: list[Item]
) -> None:
    """With a template that renders the same gold, the same continuation is scored by an extra request."""
    template = "{{choices.text[choices.label.index(answerKey)]}}"
    again = score_with_journal(ARC.model_copy(update={"gold": template}), model, options).items
    assert [i.gold for i in again] == [i.gold for i in arc_items]
    for ours, theirs in zip(again, arc_items, strict=True):
        assert ours.bits_per_byte == pytest.approx(theirs.bits_per_byte, rel=1e-4)
        assert ours.gold_bytes == theirs.gold_bytes == len(" " + ours.gold)


def test_an_item_holds_what_the_model_was_asked_and_said(arc_items: list[Item]) -> None:
    assert len(arc_items) == 10
    for item, row in zip(arc_items, (arc_row(i) for i in range(20, 30)), strict=True):
        assert item.task == "arc_easy"
        assert set(item.scores) == {"acc", "acc_norm"}
        assert item.prompt == f"Question: {row['question']}\nAnswer:"
        assert item.gold == row["choices"]["text"]["ABCD".index(row["answerKey"])]
        assert item.prediction in row["choices"]["text"]
        assert item.scores["acc"] == float(item.prediction == item.gold)
        # of the four choices the likeliest is the prediction, and the gold one's gives the bits per byte
        likeliest = max(range(4), key=item.loglikelihoods.__getitem__)
        assert row["choices"]["text"][likeliest] == item.prediction
        gold = item.loglikelihoods["ABCD".index(row["answerKey"])]
        assert item.bits_per_byte == bits_per_byte(Gold(item.gold, "", f" {item.gold}"), gold)


def test_generation_items_hold_the_filtered_answer(model: LoadedLM, options: ScoringOptions) -> None:
    strict = score_with_journal(GSM8K, model, options).items
    flexible = score_with_journal(
        GSM8K.model_copy(update={"filter": "flexible-extract"}), model, options
    ).items
    assert [i.item for i in strict] == [i.item for i in flexible]
    assert len(strict) == 4
    for ours, theirs in zip(strict, flexible, strict=True):
        assert list(ours.scores) == ["exact_match", "exact_match,flexible-extract"]
        assert list(theirs.scores) == ["exact_match", "exact_match,strict-match"]
        assert list(ours.scores.values()) == list(theirs.scores.values())[::-1]
    for item in strict:
        assert item.loglikelihoods == ()
        assert item.prompt.count("Question:") == 3  # two examples and the question
        assert item.gold.endswith("stars\n#### " + item.gold.rsplit(" ", 1)[1])
        assert item.bits_per_byte is not None
        assert item.gold_bytes == len(" " + item.gold)  # the task's delimiter is one space


def test_item_ids_tell_tasks_and_repeated_documents_apart() -> None:
    ids = item_ids([("a", "1"), ("b", "1"), ("a", "1"), ("a", "1")])
    assert len(set(ids)) == 4
    assert ids[2:] == [f"{ids[0]}-2", f"{ids[0]}-3"]


def test_ids_do_not_depend_on_limit_or_model_settings(
    model: LoadedLM, options: ScoringOptions, arc_items: list[Item]
) -> None:
    """Nor does anything else of an item: a limit chooses, in the order of the documents."""
    short = score_with_journal(ARC.model_copy(update={"limit": 3}), model, options).items
    assert len(short) == 3
    assert [i.item for i in arc_items if i.item in {s.item for s in short}] == [s.item for s in short]
    by_id = {i.item: i for i in arc_items}
    assert [(s.prompt, s.prediction, s.scores) for s in short] == [
        (i.prompt, i.prediction, i.scores) for i in (by_id[s.item] for s in short)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("spec", [ARC.model_copy(update={"num_fewshot": 2}), GSM8K])
def test_prompts_do_not_depend_on_the_limit(
    spec: BenchmarkSpec, model: LoadedLM, options: ScoringOptions
) -> None:
    """Official tasks with random examples: those of 3 items are among those of 6, and these among all."""

    def prompts(limit: int | None) -> dict[str, str]:
        limited = spec.model_copy(update={"limit": limit})
        return {i.item: i.prompt for i in score_with_journal(limited, model, options).items}

    three, six, all_of_them = prompts(3), prompts(6), prompts(None)
    assert [len(three), len(six)] == [3, 6]
    assert three.items() <= six.items() <= all_of_them.items()


def test_a_refused_tasks_prompts_are_those_it_would_be_asked_with(
    model: LoadedLM, options: ScoringOptions
) -> None:
    spec = GSM8K.model_copy(update={"executes_code": True})
    refused = score_with_journal(spec, model, options).items
    run = score_with_journal(spec, model, replace(options, execution="subprocess")).items
    assert [(i.item, i.prompt) for i in refused] == [(i.item, i.prompt) for i in run]


def test_several_tasks_are_pooled_in_order(model: LoadedLM, options: ScoringOptions) -> None:
    both = BenchmarkSpec(
        name="two", tasks=("gsm8k", "humaneval"), metrics=("exact_match",), limit=2, executes_code=True
    )
    assert [i.task for i in score_with_journal(both, model, options).items] == ["gsm8k"] * 2 + [
        "humaneval"
    ] * 2


def test_the_last_model_loaded_is_kept(model: LoadedLM, options: ScoringOptions) -> None:
    assert load_lm(model.folder, options) is model


def test_a_log_likelihood_is_not_compared_as_a_perplexity(model: LoadedLM, tmp_path: Path) -> None:
    """lm-eval's task of this type gives ln p of the last word for each document, named "perplexity"."""
    write_rows(tmp_path / "data.jsonl", [{"question": "red green", "answer": "blue"}])
    (tmp_path / "last_word.yaml").write_text(LAST_WORD.format(data=json.dumps(str(tmp_path / "data.jsonl"))))
    options = ScoringOptions(task_folders=(tmp_path,), offline=True, device="cpu")
    spec = benchmark("last_word", "perplexity")
    (mistake,) = validate_benchmarks([spec], options)
    assert "'perplexity' is a log-likelihood" in mistake
    with pytest.raises(InputError, match="'perplexity' is a log-likelihood"):
        score_with_journal(spec, model, options)
    assert validate_benchmarks([benchmark("last_word", "acc")], options) == []


def test_micro_tasks_are_scored_without_a_notice(model: LoadedLM, caplog: pytest.LogCaptureFixture) -> None:
    options = ScoringOptions(task_folders=(MICRO_TASKS,), offline=True, device="cpu", execution="subprocess")
    code = {"executes_code": True, "gold": "{{solution}}", "gen_kwargs": {"max_gen_toks": 4}}
    micro_code = benchmark("micro_code", "pass@1", limit=2, **code)
    for spec in (micro_code, benchmark("micro_reasoning", "acc", limit=2)):
        task_fingerprint(spec, options)
        assert len(score_with_journal(spec, model, options).items) == 2
    assert [record.getMessage() for record in caplog.records if record.name.startswith("lm_eval")] == []


def test_bits_per_byte_can_be_left_out(model: LoadedLM, options: ScoringOptions) -> None:
    items = score_with_journal(ARC, model, replace(options, bits_per_byte=False)).items
    assert {i.bits_per_byte for i in items} == {None}


# --- code


def test_refused_code_is_neither_written_nor_run(
    model: LoadedLM, options: ScoringOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.sandbox.code_eval.judge_all", _unexpected)
    monkeypatch.setattr(type(model.lm), "generate_until", _unexpected)
    items = score_with_journal(HUMANEVAL, model, options).items
    assert [i.scores for i in items] == [{}] * 5
    assert all(i.bits_per_byte is not None and i.prediction == "" for i in items)
    assert items[0].gold == humaneval_row(0)["canonical_solution"]
    # the prompt ends with a line break, so the solution follows without the task's delimiter
    assert items[0].gold_bytes == len("\n" + items[0].gold)


@pytest.mark.parametrize("execution", ["sandbox", "subprocess"])
def test_allowed_code_is_run_and_judged_in_order(
    execution: Literal["sandbox", "subprocess"],
    model: LoadedLM,
    options: ScoringOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The model is made to write the right body for problems 0, 1 and 4 (not the same read backwards)."""

    def write(_lm: Any, requests: list[Any], **_: Any) -> list[str]:
        numbers = [int(r.doc["entry_point"].split("_")[1]) for r in requests]
        return [f"    return x + {n if n in (0, 1, 4) else n + 1}" for n in numbers]

    monkeypatch.setattr(type(model.lm), "generate_until", write)
    if execution == "sandbox" and confining() is None:
        pytest.skip("no sandbox works here")
    items = score_with_journal(HUMANEVAL, model, replace(options, execution=execution)).items
    assert [i.scores["pass@1"] for i in items] == [1.0, 1.0, 0.0, 0.0, 1.0]
    assert items[2].prediction == humaneval_row(2)["prompt"] + "    return x + 3"


def test_a_task_that_runs_code_unannounced_is_refused_too() -> None:
    from harness.scoring.execution import code_eval

    with code_eval("refused"):
        import evaluate

        metric = evaluate.load("code_eval")
        with pytest.raises(InputError, match="unsafe-no-sandbox"):
            metric.compute(references=["pass"], predictions=[["pass"]], k=[1])


def _unexpected(*_: Any, **__: Any) -> Any:
    raise AssertionError("model-written code was asked for")


# --- the mirror


def test_the_mirror_serves_every_split_and_columns_as_they_are(options: ScoringOptions) -> None:
    import datasets

    from harness.data.mirror import redirected

    before = datasets.load_dataset
    with redirected(options):
        found = datasets.load_dataset("allenai/ai2_arc", "ARC-Easy", trust_remote_code=True)
        train = datasets.load_dataset("allenai/ai2_arc", "ARC-Easy", split="train")
    assert datasets.load_dataset is before
    assert {split: len(rows) for split, rows in found.items()} == {"train": 12, "validation": 8, "test": 10}
    assert train[3] == arc_row(3)


def test_a_changed_mirror_is_read_again(tmp_path: Path) -> None:
    import datasets

    from harness.data.mirror import redirected

    path = tmp_path / "a" / "b" / "test.jsonl"
    for count in (2, 3):
        write_rows(path, [{"x": i} for i in range(count)])
        with redirected(ScoringOptions(mirror=tmp_path, offline=True)):
            assert len(datasets.load_dataset("a/b")["test"]) == count


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    import datasets

    from harness.data.mirror import redirected

    path = tmp_path / "a" / "b" / "test.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text('{"x": 1}\n{"x": \n')
    with (
        redirected(ScoringOptions(mirror=tmp_path)),
        pytest.raises(InputError, match=r"test\.jsonl, line 2: not JSON"),
    ):
        datasets.load_dataset("a/b")


def test_a_missing_dataset_names_both_remedies(options: ScoringOptions, model: LoadedLM) -> None:
    with pytest.raises(InputError) as caught:
        score_with_journal(benchmark("openbookqa", "acc"), model, options)
    assert "allenai/openbookqa (main)" in caught.value.message
    assert "--mirror" in caught.value.remedy
    assert "prepare" in caught.value.remedy


@pytest.mark.parametrize(
    ("split", "drop", "expected"),
    [("train", "", "KeyError: 'train'"), ("test", "answerKey", "answerKey")],
)
def test_a_missing_split_or_column_is_named(tmp_path: Path, split: str, drop: str, expected: str) -> None:
    options = ScoringOptions(mirror=write_mirror(tmp_path), offline=True)
    path = tmp_path / "allenai" / "ai2_arc" / "ARC-Easy" / f"{split}.jsonl"
    path.unlink()
    if drop:
        write_rows(path, [{k: v for k, v in arc_row(i).items() if k != drop} for i in range(3)])
    [mistake] = validate_benchmarks([ARC], options)
    assert expected in mistake
    assert "splits and columns" in mistake


def test_a_folder_without_a_model_is_named(tmp_path: Path, options: ScoringOptions) -> None:
    with pytest.raises(InputError, match="no model at"):
        load_lm(tmp_path, options)


# --- planning


def test_datasets_are_named_without_reading_them() -> None:
    nowhere = ScoringOptions(mirror=Path("/nonexistent"), offline=True)
    assert datasets_of(ARC, nowhere) == [DatasetRef("allenai/ai2_arc", "ARC-Easy")]
    group = datasets_of(benchmark("bbh_cot_fewshot", "exact_match"), nowhere)
    assert len(group) == 27
    assert DatasetRef("SaylorTwift/bbh", "navigate") in group


def test_every_mistake_is_reported_at_once_with_the_nearest_name(options: ScoringOptions) -> None:
    wrong = [
        benchmark("arc_eazy", "acc"),
        benchmark("arc_easy", "acc_nrm"),
        benchmark("gsm8k", "exact_match", filter="strict", gold="{{solution}}"),
        benchmark("gsm8k", "exact_match,flexible"),
        benchmark("humaneval", "pass@2", num_fewshot=3),
        benchmark("pair", "acc", tasks=("openbookqa", "arc_challenge")),
    ]
    mistakes = validate_benchmarks(wrong, options)
    for expected in (
        "arc_eazy: unknown task 'arc_eazy' (did you mean 'arc_easy'?)",
        "unknown metric 'acc_nrm' (did you mean 'acc_norm'?)",
        "unknown filter 'strict' (did you mean 'strict-match'?)",
        "unknown metric 'exact_match,flexible' (did you mean 'exact_match,flexible-extract'?)",
        "gold template '{{solution}}' gives nothing; columns are question, answer",
        "unknown metric 'pass@2' (did you mean 'pass@1'?)",
        "executes_code: true",
        "fixes num_fewshot at 0",
        "dataset allenai/openbookqa (main)",
        "dataset allenai/ai2_arc (ARC-Challenge)",
    ):
        assert any(expected in mistake for mistake in mistakes), expected
    assert len(mistakes) == 10


def test_good_benchmarks_have_no_mistakes(options: ScoringOptions) -> None:
    assert validate_benchmarks([ARC, GSM8K, HUMANEVAL], options) == []


def test_doc_hash_is_lm_evals_own() -> None:
    """Known from lm-eval's sample log of this row: sha256 of its JSON, indented by two."""
    from hashlib import sha256

    row = arc_row(3)
    assert doc_hash(row) == sha256(json.dumps(row, indent=2, ensure_ascii=False).encode()).hexdigest()
