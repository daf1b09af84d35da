"""For the same model, task, few-shot and seed, items equal lm-eval's own command line, one by one."""

import json
from math import log
from pathlib import Path
from typing import Any

import pytest

from harness.core.record import Item
from harness.scoring import ScoringOptions, load_lm, score_with_journal
from harness.scoring.limit import chosen
from harness.scoring.samples import doc_hash, item_ids
from harness.scoring.tasks import inspect_tasks
from harness.suite.spec import BenchmarkSpec
from tests.harness.scoring.scoring_world import (
    arc_row,
    run_command_line,
    write_mirror,
    write_model,
    write_rows,
)

pytestmark = pytest.mark.slow

EQUAL = 1e-3  # nats, in float32: our class sums in another order than lm-eval's
ARC = BenchmarkSpec(name="arc", tasks=("arc_easy",), metrics=("acc",), num_fewshot=2, limit=6)
GSM8K = BenchmarkSpec(
    name="gsm8k",
    tasks=("gsm8k",),
    metrics=("exact_match",),
    num_fewshot=2,
    limit=6,
    filter="flexible-extract",
    gen_kwargs={"max_gen_toks": 12},
)

DRAWN = BenchmarkSpec(name="drawn", tasks=("drawn",), metrics=("acc",), num_fewshot=2, limit=6)
DRAWN_TASK = """
task: drawn
dataset_path: own/drawn
output_type: multiple_choice
test_split: test
fewshot_split: test
doc_to_text: "{{question}}"
doc_to_choice: "{{choices.text}}"
doc_to_target: "{{choices.label.index(answerKey)}}"
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""


def write_drawn(mirror: Path, folder: Path) -> None:
    """A task that draws its examples from its test documents, four of which are there twice."""
    write_rows(mirror / "own" / "drawn" / "test.jsonl", [arc_row(i % 8) for i in range(12)])
    folder.mkdir()
    (folder / "drawn.yaml").write_text(DRAWN_TASK)


def command_line(model: Path, benchmark: BenchmarkSpec, options: ScoringOptions) -> list[str]:
    """The same settings as lm-eval's arguments, without the limit."""
    shots = [] if benchmark.num_fewshot is None else ["--num_fewshot", str(benchmark.num_fewshot)]
    generation = [f"{key}={value}" for key, value in benchmark.gen_kwargs.items()]
    return [
        *("--model", "hf", "--model_args", f"pretrained={model},dtype={options.dtype}"),
        *("--device", options.device, "--batch_size", str(options.batch_size)),
        *("--tasks", ",".join(benchmark.tasks), "--seed", str(options.seed)),
        *(["--include_path", str(options.task_folders[0])] if options.task_folders else []),
        *shots,
        *(["--gen_kwargs", *generation] if generation else []),
    ]


def assert_equal_item_by_item(
    items: list[Item], samples: list[dict[str, Any]], benchmark: BenchmarkSpec
) -> None:
    """Every item equals the sample of its document under each filter; a repeated document's, in order."""
    ids = item_ids((benchmark.tasks[0], doc_hash(s["doc"])) for s in _of_one_filter(samples, benchmark))
    by_id = dict(zip(ids, _of_one_filter(samples, benchmark), strict=True))
    assert [i for i in ids if i in {item.item for item in items}] == [item.item for item in items]
    for item in items:
        sample = by_id[item.item]
        assert sample["doc_hash"] == doc_hash(sample["doc"])
        for metric in sample["metrics"]:
            assert item.scores[metric] == float(sample[metric])
        context = sample["arguments"]["gen_args_0"]["arg_0"]
        assert item.prompt == context[-4000:]
        if sample["filtered_resps"] and isinstance(sample["filtered_resps"][0], str):
            assert item.prediction == sample["filtered_resps"][0]
        else:
            _assert_same_choice(item, sample)


def _of_one_filter(samples: list[dict[str, Any]], benchmark: BenchmarkSpec) -> list[dict[str, Any]]:
    return [s for s in samples if benchmark.filter is None or s["filter"] == benchmark.filter]


def _assert_same_choice(item: Item, sample: dict[str, Any]) -> None:
    """Chosen text, and bits per byte recomputed from the log-likelihood in lm-eval's own log."""
    loglikelihoods = [float(response[0]) for response in sample["filtered_resps"]]
    best = max(range(len(loglikelihoods)), key=loglikelihoods.__getitem__)
    assert item.prediction == sample["doc"]["choices"]["text"][best]
    assert item.loglikelihoods == pytest.approx(loglikelihoods, abs=EQUAL)
    gold = int(sample["target"])
    continuation = sample["arguments"][f"gen_args_{gold}"]["arg_1"]
    expected = -loglikelihoods[gold] / log(2) / len(continuation.encode())
    assert item.bits_per_byte == pytest.approx(expected, abs=EQUAL)


def test_a_tiny_model_scores_as_on_the_command_line(tmp_path: Path) -> None:
    """Items under a limit equal the same documents of an unlimited run of lm-eval's own: random few-shot
    examples, two filters, regular expressions; and examples from the very documents that are asked, of which
    some are there twice."""
    mirror, model = write_mirror(tmp_path / "hub"), write_model(tmp_path / "model")
    write_drawn(mirror, tmp_path / "tasks")
    folders = (tmp_path / "tasks",)
    options = ScoringOptions(
        mirror=mirror, offline=True, device="cpu", batch_size=4, seed=99, task_folders=folders
    )
    loaded = load_lm(model, options)
    all_tasks = (*ARC.tasks, *GSM8K.tasks, *DRAWN.tasks)
    together = GSM8K.model_copy(update={"tasks": all_tasks})  # the settings they share
    samples = run_command_line(tmp_path, mirror, command_line(model, together, options))
    for benchmark in (ARC, GSM8K, DRAWN):
        items = score_with_journal(benchmark, loaded, options).items
        assert len(items) == benchmark.limit
        assert_equal_item_by_item(items, samples[benchmark.tasks[0]], benchmark)


def test_smollm2_scores_as_on_the_command_line(tmp_path: Path, smollm2: Path, shared: Path) -> None:
    """The command line is told which documents: without examples a prompt does not depend on the others."""
    benchmark = BenchmarkSpec(name="arc", tasks=("arc_easy",), metrics=("acc", "acc_norm"), limit=12)
    options = ScoringOptions(mirror=shared / "data" / "hub", offline=True, device="cpu", batch_size=8)
    (task,) = inspect_tasks(benchmark, options).values()
    places = list(chosen("arc_easy", list(task.eval_docs), benchmark.limit, options.seed))
    arguments = [
        *command_line(smollm2, benchmark, options),
        "--samples",
        json.dumps({"arc_easy": places}),
    ]
    samples = run_command_line(tmp_path, shared / "data" / "hub", arguments)
    items = score_with_journal(benchmark, load_lm(smollm2, options), options).items
    assert_equal_item_by_item(items, samples["arc_easy"], benchmark)
