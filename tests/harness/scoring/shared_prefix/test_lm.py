"""The model class against lm-eval's own, request by request, and from lm-eval's command line."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.scoring.shared_prefix.lm import SharedPrefixLM
from tests.harness.scoring.scoring_world import WORDS, arc_row, gsm8k_row, write_mirror, write_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def plain(folder: Path) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=1, max_length=200)


@pytest.fixture(scope="module")
def ours(folder: Path) -> SharedPrefixLM:
    lm = SharedPrefixLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=1, max_length=200)
    assert lm.chosen.strategy == "tree"
    return lm


def requests(kind: str, arguments: list[Any]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, a, 0, ("task", i, 1)) for i, a in enumerate(arguments)]


def choices() -> list[Any]:
    """Few-shot questions with four answers each, an empty context, and a text longer than the window."""
    shots = "".join(f"{gsm8k_row(i)['question']} {gsm8k_row(i)['answer']}\n\n" for i in range(2))
    rows = [arc_row(i) for i in range(6)]
    asked = [(shots + row["question"], f" {text}") for row in rows for text in row["choices"]["text"]]
    long = " ".join(WORDS * 30)
    return [*asked, ("", " red green"), (long, " blue"), ("trailing space ", "one"), asked[0]]


def test_log_likelihoods_are_lm_evals(ours: SharedPrefixLM, plain: Any) -> None:
    asked = requests("loglikelihood", choices())
    found = ours.loglikelihood(asked, disable_tqdm=True)
    expected = plain.loglikelihood(asked, disable_tqdm=True)
    assert [f[0] for f in found] == pytest.approx([e[0] for e in expected], abs=1e-3)
    assert [f[1] for f in found] == [e[1] for e in expected]


def test_each_distinct_token_is_read_once(ours: SharedPrefixLM) -> None:
    """Told by the reader's own count, against the nodes of the requests' prefix tree."""
    from harness.scoring.shared_prefix.loglikelihood import Request
    from harness.scoring.shared_prefix.prefixes import distinct_tokens

    asked = choices()[:24]
    pairs = [ours._encode_pair(*pair) for pair in asked]
    reader: Any = ours.chosen.reader
    before = reader.tokens_read
    ours.loglikelihood(requests("loglikelihood", asked), disable_tqdm=True)
    inputs = [Request.of(context, answer, 200).tokens for context, answer in pairs]
    assert reader.tokens_read - before == distinct_tokens(inputs)


def test_whole_texts_are_lm_evals(ours: SharedPrefixLM, plain: Any) -> None:
    asked = requests("loglikelihood_rolling", [(" ".join(WORDS[i:] * (20 * i + 1)),) for i in range(3)])
    found = ours.loglikelihood_rolling(asked, disable_tqdm=True)
    assert found == pytest.approx(plain.loglikelihood_rolling(asked, disable_tqdm=True), abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"until": ["\n"], "max_gen_toks": 24, "do_sample": False},
        {"until": ["zz", "s", " o"], "max_gen_toks": 24, "temperature": 0.0},
        {"until": [], "max_gen_toks": 9},
        {"until": ["n"], "max_gen_toks": 180},  # leaves twenty tokens of the window to the prompt
    ],
)
def test_generated_texts_are_lm_evals(ours: SharedPrefixLM, plain: Any, settings: dict[str, Any]) -> None:
    asked = requests("generate_until", [(context, dict(settings)) for context, _ in choices() if context])
    assert ours.generate_until(asked, disable_tqdm=True) == plain.generate_until(asked, disable_tqdm=True)


def test_requests_of_other_settings_go_by_the_parent(
    ours: SharedPrefixLM, plain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two beams are not greedy: the parent answers these, and only these."""
    from lm_eval.models.huggingface import HFLM

    greedy = ("red green", {"until": ["\n"], "max_gen_toks": 5})
    beams = ("one two", {"until": ["\n"], "max_gen_toks": 5, "num_beams": 2})
    asked = requests("generate_until", [greedy, beams])
    expected = [plain.generate_until([one], disable_tqdm=True)[0] for one in asked]
    seen: list[Any] = []
    original = HFLM.generate_until

    def watched(lm: Any, some: list[Any], **settings: Any) -> Any:
        seen.extend(some)
        return original(lm, some, **settings)

    monkeypatch.setattr(HFLM, "generate_until", watched)
    assert ours.generate_until(asked, disable_tqdm=True) == expected
    assert [request.args for request in seen] == [beams]


@pytest.mark.parametrize(
    "settings", [{"do_sample": True, "temperature": 0.7}, {"temperature": 0.2}, {"repetition_penalty": 2.0}]
)
def test_what_is_not_plain_greedy_generation_is_told_apart(
    ours: SharedPrefixLM, settings: dict[str, Any]
) -> None:
    assert not ours._is_greedy({"until": ["\n"], "max_gen_toks": 5, **settings})
    assert ours._is_greedy({"until": ["\n"], "max_gen_toks": 5})


def test_a_models_own_generation_settings_are_respected(ours: SharedPrefixLM) -> None:
    ours.model.generation_config.repetition_penalty = 1.3
    try:
        assert not ours._is_greedy({"until": ["\n"], "max_gen_toks": 5})
    finally:
        ours.model.generation_config.repetition_penalty = None


def test_answers_are_told_as_they_come(ours: SharedPrefixLM) -> None:
    """The hook hears every answer with the request's own arguments: what a journal needs."""

    class Hook:
        def __init__(self) -> None:
            self.heard: list[Any] = []

        def add_partial(self, kind: str, arguments: Any, result: Any) -> None:
            self.heard.append((kind, tuple(arguments), result))

    hook, before = Hook(), ours.cache_hook
    ours.set_cache_hook(hook)
    try:
        pairs = choices()[:8]
        scores = ours.loglikelihood(requests("loglikelihood", pairs), disable_tqdm=True)
        settings = {"until": ["\n"], "max_gen_toks": 3}
        texts = ours.generate_until(requests("generate_until", [("red", settings)]), disable_tqdm=True)
    finally:
        ours.set_cache_hook(before)
    expected: list[Any] = [("loglikelihood", pair, score) for pair, score in zip(pairs, scores, strict=True)]
    expected.append(("generate_until", ("red", settings), texts[0]))
    assert sorted(map(repr, hook.heard)) == sorted(map(repr, expected))


def test_half_precision_agrees_as_far_as_it_reaches(folder: Path) -> None:
    from lm_eval.models.huggingface import HFLM

    asked = requests("loglikelihood", choices()[:8])
    settings: dict[str, Any] = {"pretrained": str(folder), "device": "cpu", "dtype": torch.bfloat16}
    ours = SharedPrefixLM(**settings)
    assert ours.chosen.strategy == "tree"
    expected = HFLM(**settings).loglikelihood(asked, disable_tqdm=True)
    found = ours.loglikelihood(asked, disable_tqdm=True)
    assert [f[0] for f in found] == pytest.approx([e[0] for e in expected], abs=0.5)


def test_an_empty_call_is_answered(ours: SharedPrefixLM) -> None:
    assert ours.loglikelihood([], disable_tqdm=True) == []
    assert ours.generate_until([], disable_tqdm=True) == []


TASK = """
task: local_arc
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}/test.jsonl, train: {data}/train.jsonl}}}}
output_type: multiple_choice
training_split: train
test_split: test
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_target: "{{{{choices.label.index(answerKey)}}}}"
doc_to_choice: "{{{{choices.text}}}}"
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""


@pytest.mark.slow
def test_lm_evals_command_line_knows_it(tmp_path: Path, folder: Path) -> None:
    """The installed command gives the samples that lm-eval's own class gives to the harness."""
    from harness.scoring import ScoringOptions, load_lm, score_with_journal
    from harness.suite.spec import BenchmarkSpec

    data = write_mirror(tmp_path / "hub") / "allenai" / "ai2_arc" / "ARC-Easy"
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "local_arc.yaml").write_text(TASK.format(data=data))
    rows = command_line(tmp_path, folder, tasks)
    options = ScoringOptions(offline=True, device="cpu", backend="hf", seed=1234, task_folders=(tasks,))
    spec = BenchmarkSpec(name="arc", tasks=("local_arc",), metrics=("acc",), num_fewshot=2)
    items = score_with_journal(spec, load_lm(folder, options), options).items
    assert [row["acc"] for row in rows] == [item.scores["acc"] for item in items]
    for row, item in zip(rows, items, strict=True):
        scores = [float(response[0]) for response in row["filtered_resps"]]
        assert item.loglikelihoods == pytest.approx(scores, abs=1e-3)


def command_line(place: Path, model: Path, tasks: Path) -> list[Any]:
    """Samples of local_arc by `fusegauge-lm-eval --model fusegauge`."""
    command = [
        *(str(Path(sys.executable).parent / "fusegauge-lm-eval"), "--model", "fusegauge"),
        *("--model_args", f"pretrained={model},dtype=float32", "--device", "cpu", "--num_fewshot", "2"),
        *("--tasks", "local_arc", "--include_path", str(tasks), "--output_path", str(place), "--log_samples"),
        *("--seed", "1234"),
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(place / "cache")}
    done = subprocess.run(command, env=environment, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (samples,) = place.rglob("samples_*.jsonl")
    return [json.loads(line) for line in samples.read_text().splitlines()]
