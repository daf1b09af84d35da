"""The fingerprint of a benchmark's tasks: whatever changes what is asked changes it, nothing else does."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.scoring import ScoringOptions, task_fingerprint
from harness.scoring.limit import chosen
from harness.suite.spec import BenchmarkSpec
from tests.harness.scoring.scoring_world import arc_row, write_mirror, write_rows


def benchmark(name: str, metric: str, **others: Any) -> BenchmarkSpec:
    return BenchmarkSpec(**{"name": name, "tasks": (name,), "metrics": (metric,), **others})


ARC = benchmark("arc_easy", "acc")
GSM8K = benchmark("gsm8k", "exact_match", num_fewshot=2, limit=4, gen_kwargs={"max_gen_toks": 4})
HUMANEVAL = benchmark("humaneval", "pass@1", gold="{{canonical_solution}}", executes_code=True)


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> ScoringOptions:
    return ScoringOptions(mirror=write_mirror(tmp_path_factory.mktemp("hub")), offline=True, device="cpu")


@pytest.mark.parametrize(
    "change",
    [{"limit": 3}, {"num_fewshot": 1}, {"gold": "{{question}}"}, {"gen_kwargs": {"max_gen_toks": 5}}],
)
def test_what_changes_the_items_changes_the_fingerprint(
    change: dict[str, Any], options: ScoringOptions
) -> None:
    assert task_fingerprint(GSM8K.model_copy(update=change), options) != task_fingerprint(GSM8K, options)


def test_seed_and_execution_count_where_they_matter(options: ScoringOptions) -> None:
    other = replace(options, seed=options.seed + 1)
    run = replace(options, execution="subprocess")
    assert task_fingerprint(GSM8K, other) != task_fingerprint(GSM8K, options)
    assert task_fingerprint(HUMANEVAL, run) != task_fingerprint(HUMANEVAL, options)
    assert task_fingerprint(GSM8K, run) == task_fingerprint(GSM8K, options)


def test_device_and_batch_size_do_not_change_what_is_asked(options: ScoringOptions) -> None:
    other = replace(options, batch_size=1, device="cuda")
    assert task_fingerprint(ARC, other) == task_fingerprint(ARC, options)


def test_the_same_data_elsewhere_is_the_same_and_changed_data_is_not(
    tmp_path: Path, options: ScoringOptions
) -> None:
    copy = replace(options, mirror=write_mirror(tmp_path / "copy"))
    assert task_fingerprint(ARC, copy) == task_fingerprint(ARC, options)
    changed = replace(options, mirror=write_mirror(tmp_path / "changed"))
    rows = [arc_row(i) for i in range(20, 29)] + [arc_row(29) | {"answerKey": "A"}]
    write_rows(tmp_path / "changed" / "allenai" / "ai2_arc" / "ARC-Easy" / "test.jsonl", rows)
    assert task_fingerprint(ARC, changed) != task_fingerprint(ARC, options)


def test_a_document_counts_where_it_is_asked_or_draws_examples(
    tmp_path: Path, options: ScoringOptions
) -> None:
    """A document that the limit leaves out changes nothing that is asked, unless the examples of those behind
    it are drawn after its own."""
    rows = [arc_row(i) for i in range(20, 30)]
    (asked,) = chosen("arc_easy", rows, 1, options.seed)
    rows[asked - 1]["question"] = "Another?"
    assert list(chosen("arc_easy", rows, 1, options.seed)) == [asked]  # it would be by chance, 9 times of 10
    changed = replace(options, mirror=write_mirror(tmp_path))
    write_rows(tmp_path / "allenai" / "ai2_arc" / "ARC-Easy" / "test.jsonl", rows)
    one = ARC.model_copy(update={"limit": 1})
    assert task_fingerprint(one, changed) == task_fingerprint(one, options)
    drawn = one.model_copy(update={"num_fewshot": 2})
    assert task_fingerprint(drawn, changed) != task_fingerprint(drawn, options)


CUSTOM = """
task: tiny_custom
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
output_type: generate_until
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_target: !function tiny_functions.target
generation_kwargs: {{until: ["x"], max_gen_toks: 2}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""


def test_a_task_of_our_own_counts_with_the_code_it_calls(tmp_path: Path) -> None:
    def written(name: str, code: str) -> str:
        folder = tmp_path / name
        write_rows(folder / "data.jsonl", [{"question": "q", "answer": "a"}])
        (folder / "tiny.yaml").write_text(
            CUSTOM.format(data=json.dumps(str(tmp_path / "one" / "data.jsonl")))
        )
        (folder / "tiny_functions.py").write_text(code)
        spec = benchmark("tiny_custom", "exact_match")
        return task_fingerprint(spec, ScoringOptions(task_folders=(folder,), offline=True))

    code = "def helper(doc):\n    return doc['answer']\ndef target(doc):\n    return helper(doc)\n"
    first = written("one", code)
    assert written("two", code) == first  # another folder, the same task
    assert written("three", code.replace("['answer']", "['answer'].upper()")) != first
