"""BBH's official extraction loses a character without a period; the filter beside it does not."""

from pathlib import Path

import pytest

from harness.scoring import LoadedLM, ScoringOptions, load_lm, score_with_journal, validate_benchmarks
from harness.scoring.bbh_filter import DEFECTIVE, NAME
from harness.scoring.fingerprint import described
from harness.scoring.tasks import filter_names, inspect_tasks
from harness.suite.spec import BenchmarkSpec
from tests.harness.scoring.scoring_world import write_mirror, write_model, write_rows

BBH = BenchmarkSpec(name="bbh", tasks=("bbh_cot_fewshot_navigate",), metrics=("exact_match",))
WITHOUT_PERIOD = "We turn back. So the answer is Yes"


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> ScoringOptions:
    mirror = write_mirror(tmp_path_factory.mktemp("hub"))
    rows = [{"input": f"Take {i} steps. Do you return?", "target": "Yes"} for i in range(2)]
    write_rows(mirror / "SaylorTwift" / "bbh" / "navigate" / "test.jsonl", rows)
    return ScoringOptions(mirror=mirror, offline=True, device="cpu", bits_per_byte=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, options: ScoringOptions) -> LoadedLM:
    return load_lm(write_model(tmp_path_factory.mktemp("model")), options)


@pytest.mark.parametrize(
    ("text", "official", "whole"),
    [
        ("So the answer is (A)", "(A", "(A)"),
        ("So the answer is (A).", "(A)", "(A)"),
        ("So the answer is (A). ", "(A).", "(A)"),
        ("So the answer is 3.5.", "3.5", "3.5"),
        ("So the answer is 3.5", "3.", "3.5"),
        ("So the answer is No\nBut wait. So the answer is Yes", "N", "No"),
        ("So the answer is No.\nThat is it.", "No", "No"),
        ("So the answer is  [ ] )", "[ ]", "[ ] )"),
        ("I do not know.", "[invalid]", "[invalid]"),
    ],
)
def test_known_answers(text: str, official: str, whole: str, options: ScoringOptions) -> None:
    from lm_eval.api.instance import Instance

    (task,) = inspect_tasks(BBH, options).values()
    request = Instance("generate_until", {}, ("", {}), 0, resps=[text])
    for ensemble in task._filters:
        ensemble.apply([request])
    assert request.filtered_resps == {"get-answer": official, NAME: whole}


def test_items_carry_both_and_a_suite_may_choose(
    model: LoadedLM, options: ScoringOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        type(model.lm), "generate_until", lambda _lm, requests, **_: [WITHOUT_PERIOD] * len(requests)
    )
    official = score_with_journal(BBH, model, options).items
    whole = score_with_journal(BBH.model_copy(update={"filter": NAME}), model, options).items
    assert [i.scores for i in official] == [{"exact_match": 0.0, f"exact_match,{NAME}": 1.0}] * 2
    assert [i.scores for i in whole] == [{"exact_match": 1.0, "exact_match,get-answer": 0.0}] * 2
    assert [(i.prediction, j.prediction) for i, j in zip(official, whole, strict=True)] == [("Ye", "Yes")] * 2


def test_a_metric_may_be_named_under_another_filter(
    model: LoadedLM, options: ScoringOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = BBH.model_copy(update={"metrics": ("exact_match", f"exact_match,{NAME}")})
    assert validate_benchmarks([both], options) == []
    monkeypatch.setattr(
        type(model.lm), "generate_until", lambda _lm, requests, **_: [WITHOUT_PERIOD] * len(requests)
    )
    assert {metric for item in score_with_journal(both, model, options).items for metric in item.scores} == {
        *both.metrics
    }
    (mistake,) = validate_benchmarks([BBH.model_copy(update={"metrics": ("exact_match,whole",)})], options)
    assert f"it gives exact_match, exact_match,{NAME}" in mistake


def test_the_fingerprint_knows_the_filter_and_other_tasks_have_none(options: ScoringOptions) -> None:
    """The fingerprint hashes a task's configuration, so the filter must stand there."""
    (bbh,) = inspect_tasks(BBH, options).values()
    assert NAME in str(described(bbh.config.filter_list))
    assert [f["name"] for f in bbh.config.filter_list] == filter_names(bbh) == ["get-answer", NAME]
    gsm8k = BBH.model_copy(update={"tasks": ("gsm8k",)})
    (other,) = inspect_tasks(gsm8k, options).values()
    assert NAME not in filter_names(other)


def test_lm_eval_still_has_the_defect() -> None:
    """When a release repairs the expression, the second filter has done its work and can go."""
    import lm_eval.tasks

    template = Path(lm_eval.tasks.__file__).parent / "bbh" / "cot_fewshot" / "_cot_fewshot_template_yaml"
    assert f'regex_pattern: "{DEFECTIVE}"' in template.read_text(encoding="utf-8")
