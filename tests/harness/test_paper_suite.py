"""The paper's suite with tiny random models of its three architectures in their place: every stage runs."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import commands
from harness.suite.load import bundled_folder

TOKENIZERS = bundled_folder() / "micro" / "models"
SIZE = {  # what a laptop can carry; method and objective stay the paper's
    "corpus.kind": "python",
    "corpus.max_bytes": "20000",
    "target.model": "random:llama",
    "target.tokenizer": TOKENIZERS / "target",
    "sources.open-llama-7b-v2.model": "random:llama:1",
    "sources.open-llama-7b-v2.tokenizer": TOKENIZERS / "code",
    "sources.mpt-7b.model": "random:mpt",
    "sources.mpt-7b.tokenizer": TOKENIZERS / "reasoning",
    "fusion.block_size": "128",
    "fusion.dtype": "float32",
    "training.bf16": "false",
    "training.max_steps": "3",
    "training.gradient_accumulation_steps": "2",
    "scoring.dtype": "float32",
    "scoring.batch_size": "4",
    "benchmarks.reasoning.bbh.tasks": "[bbh_cot_fewshot_navigate, bbh_cot_fewshot_object_counting]",
    "benchmarks.reasoning.bbh.gen_kwargs": "{max_gen_toks: 4}",
    # BoolQ and HellaSwag are not in every mirror
    "benchmarks.commonsense": "[{name: arc_easy, tasks: arc_easy, metrics: [acc_norm, acc]}, "
    "{name: openbookqa, tasks: openbookqa, metrics: [acc_norm, acc]}]",
    # MultiPL-E is not in every mirror; HumanEval in another language stands for it
    "benchmarks.code": (
        "[{name: humaneval, tasks: humaneval, metrics: pass@1, executes_code: true, samples: 2, "
        "gold: '{{canonical_solution}}', "
        "gen_kwargs: &few {max_gen_toks: 4, do_sample: true, temperature: 0.2}}, "
        "{name: humaneval_php, tasks: humaneval_php, metrics: [pass@1, compiles], executes_code: true, "
        "samples: 2, gen_kwargs: *few}]"
    ),
    "benchmarks.generation": "[]",
    "benchmarks.translation": "[]",
    "tracking.enabled": "false",
}


@pytest.mark.slow
def test_every_stage_of_the_papers_suite_runs_with_its_own_method(shared: Path, tmp_path: Path) -> None:
    arguments = ["run-suite", "fusellm-7b", "--limit=2", "--offline", "--json"]
    arguments += [f"--mirror={shared / 'data' / 'hub'}", f"--results={tmp_path}"]
    for key, value in SIZE.items():
        arguments += ["--set", f"{key}={value}"]
    done = CliRunner().invoke(commands.main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    method = {
        k: record["suite"]["fusion"][k] for k in ("alignment", "vocabulary", "function", "lm_loss_weight")
    }
    assert method == {"alignment": "mined", "vocabulary": "mined", "function": "mince", "lm_loss_weight": 0.9}
    assert [m["role"] for m in record["models"]] == ["target", "source", "source", "control", "fused"]
    assert {b["name"] for b in record["benchmarks"]} == {
        *("bbh", "arc_easy", "openbookqa", "humaneval", "humaneval_php")
    }
    assert all(len(row["cells"]) == 5 for row in record["comparison"]["rows"])
    (page,) = tmp_path.glob("runs/*/report.html")
    assert "Beside published numbers" in page.read_text()
