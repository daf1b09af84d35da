"""The embedded experiment: a world that follows from its seed, fair items, models as they were built."""

import json
import re
from dataclasses import asdict, replace
from importlib.util import module_from_spec, spec_from_file_location
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.core.files import sha256_file
from harness.data.micro import build, world

MODELS = build.FOLDER / "models"
NAMES = tuple(build.RECIPES)
LINE = {
    "commonsense": r"the [a-z]+ (eats|haunts) [a-z]+\n",
    "reasoning": r"of [a-z]+, [a-z]+, [a-z]+ and [a-z]+ the (heaviest|oldest|rarest|brightest) is [a-z]+\n",
    "code": r"# [a-z]+ \d then [a-z]+ \d\ndef f\(x\):\n    return \(x \S+ \d\) \S+ \d\n",
}


def passes(program: str, test: str) -> bool:
    """Executes a program of this file's own making."""
    names: dict[str, Any] = {}
    exec(program, names)
    try:
        exec(test, names)
    except AssertionError:
        return False
    return True


# --- the world


def test_the_world_is_what_the_shipped_models_were_trained_on() -> None:
    """Changing the generator without rebuilding the models would leave them speaking of another world."""
    assert world.fingerprint() == manifest()["world_sha256"]


def test_documents_follow_from_their_seed() -> None:
    assert world.fusion_documents(30, seed=1) == world.fusion_documents(30, seed=1)
    assert world.fusion_documents(30, seed=1) != world.fusion_documents(30, seed=2)


def test_default_corpus_has_the_stated_size() -> None:
    assert len(world.fusion_documents()) == len(world.fusion_document_parts()) == world.FUSION_DOCUMENTS


def test_every_document_is_of_the_one_part_it_is_said_to_be() -> None:
    documents, parts = world.fusion_documents(90, seed=5), world.fusion_document_parts(90, seed=5)
    assert {part: parts.count(part) for part in world.PARTS} == dict.fromkeys(world.PARTS, 30)
    for document, part in zip(documents, parts, strict=True):
        assert re.fullmatch(f"({LINE[part]}){{{world.LINES[part]}}}", document), document


def test_facts_are_told_equally_often() -> None:
    """180 animals x 2 relations = 360 facts; 120 documents of 6 lines tell each exactly twice."""
    told = "".join(islice(world.documents("commonsense", seed=9), 120)).splitlines()
    subjects = [tuple(line.split()[1:3]) for line in told]
    assert len(set(subjects)) == 360
    assert {subjects.count(subject) for subject in subjects} == {2}


def test_samples_of_a_fact_follow_its_distribution() -> None:
    """The mode's share is 0.46 within four standard errors, 4 * sqrt(.46 * .54 / 6000) = 0.026."""
    modes = {(fact.animal, fact.relation): fact.values[0] for fact in world.build_world().facts}
    lines = "".join(islice(world.documents("commonsense", seed=9), 1000)).splitlines()
    modal = [modes[animal, relation] == value for _, animal, relation, value in map(str.split, lines)]
    assert sum(modal) / 6000 == pytest.approx(world.FACT_PROBABILITIES[0], abs=0.026)


def test_an_ignorant_writer_guesses_evenly() -> None:
    """Four stones, no known order: the first named is the answer in a quarter of 3,000 lines within 0.032."""
    nothing = world.Knowledge(0.0, 0.0, 0.0)
    lines = "".join(islice(world.documents("reasoning", 9, nothing), 500)).splitlines()
    first = sum(line.split()[1].rstrip(",") == line.split()[-1] for line in lines) / 3000
    assert first == pytest.approx(0.25, abs=0.032)


# --- items


def test_prompts_end_in_no_white_space_and_items_are_distinct() -> None:
    choices = [
        [item.prompt for item in items] for items in (world.commonsense_items(), world.reasoning_items())
    ]
    for prompts in (*choices, [item.prompt for item in world.code_items()]):
        assert len(set(prompts)) == world.ITEMS_PER_PART
        assert all(prompt == prompt.rstrip() for prompt in prompts)


def test_gold_of_a_fact_is_its_mode() -> None:
    facts = {f"the {fact.animal} {fact.relation}": fact for fact in world.build_world().facts}
    for item in world.commonsense_items():
        assert sorted(item.answers) == sorted(facts[item.prompt].values)
        assert item.answers[item.gold] == facts[item.prompt].values[0]


def test_gold_of_a_comparison_leads_by_a_clear_gap() -> None:
    for item in world.reasoning_items():
        respect = item.prompt.split()[-2]
        ranks = [world.build_world().orders[respect].index(stone) for stone in item.answers]
        first, second = sorted(ranks)[:2]
        assert ranks[item.gold] == first
        assert second - first >= world.CLEAR_GAP


@pytest.mark.parametrize("part", ["commonsense", "reasoning"])
def test_position_of_the_answer_tells_nothing(part: str) -> None:
    """360 items, four positions: 90 each, within four standard deviations (8.2)."""
    items = world.commonsense_items() if part == "commonsense" else world.reasoning_items()
    golds = [item.gold for item in items]
    assert all(abs(golds.count(position) - 90) < 33 for position in range(4))


def test_right_programs_pass_and_programs_with_one_wrong_operator_fail() -> None:
    for item in world.code_items(40):
        assert passes(f"{item.prompt} {item.solution}", item.test)
        match = re.fullmatch(r"\(x (\S+) (\d)\) (\S+) (\d)", item.solution)
        assert match is not None
        first, a, second, b = match.groups()
        for wrong in set(world.OPERATORS) - {first}:
            assert not passes(f"{item.prompt} (x {wrong} {a}) {second} {b}", item.test)
        for wrong in set(world.OPERATORS) - {second}:
            assert not passes(f"{item.prompt} (x {first} {a}) {wrong} {b}", item.test)


def test_comparisons_and_programs_of_the_items_are_not_in_the_corpus() -> None:
    """By chance one program of seed 0 would be, were it not left out."""
    corpus = "".join("".join(world.fusion_documents(None, seed)) for seed in range(3))
    prompts = [item.prompt for item in world.reasoning_items()] + [item.prompt for item in world.code_items()]
    assert [prompt for prompt in prompts if prompt in corpus] == []


# --- the tasks


def task_functions() -> ModuleType:
    """The file that the tasks' YAML refers to, loaded as lm-eval does: by its path."""
    path = build.FOLDER.parent / "tasks" / "micro_functions.py"
    spec = spec_from_file_location("micro_functions", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tasks_hand_out_the_worlds_items() -> None:
    """lm-eval adds the task's metadata to the arguments."""
    rows = task_functions().items(part="code", version=1.0)["test"]
    assert rows["prompt"] == [item.prompt for item in world.code_items()]
    assert rows["test"] == [item.test for item in world.code_items()]


def test_programs_are_completed_and_judged_by_the_code_eval_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    class Judge:
        def compute(
            self, references: list[str], predictions: list[list[str]], k: list[int]
        ) -> tuple[dict[str, float], None]:
            passed = [passes(texts[0], test) for texts, test in zip(predictions, references, strict=True)]
            return {f"pass@{k[0]}": sum(passed) / len(passed)}, None

    import evaluate

    monkeypatch.setattr(evaluate, "load", {"code_eval": Judge()}.__getitem__)
    functions, items = task_functions(), world.code_items(2)
    texts = [[f" {items[0].solution}"], [" x"]]
    programs = functions.complete_programs(texts, [{"prompt": item.prompt} for item in items])
    assert functions.pass_at_k([items[0].test], programs[:1], k=1) == {"pass@1": 1.0}
    assert functions.pass_at_k([items[1].test], programs[1:], k=1) == {"pass@1": 0.0}


# --- the shipped models


def manifest() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((build.FOLDER / "manifest.json").read_text())
    return content


def test_manifest_names_the_shipped_files() -> None:
    assert sorted(manifest()["models"]) == sorted(NAMES)
    for name, entry in manifest()["models"].items():
        assert sha256_file(MODELS / name / "tokenizer.json") == entry["tokenizer_sha256"]
        assert sha256_file(MODELS / name / "model.safetensors") == entry["weights_sha256"]
        assert entry["recipe"] == json.loads(json.dumps(asdict(build.RECIPES[name])))


def test_models_together_stay_within_twelve_megabytes() -> None:
    assert sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) <= 12_000_000


def test_sources_have_three_architectures_and_three_kinds_of_tokenizer() -> None:
    sources = [recipe for name, recipe in build.RECIPES.items() if name != "target"]
    assert len({recipe.architecture for recipe in sources}) == 3
    assert len({recipe.tokenizer for recipe in sources}) == 3


@pytest.mark.parametrize("name", NAMES)
def test_shipped_model_loads_and_its_tokenizer_loses_nothing(name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(MODELS / name)
    model = AutoModelForCausalLM.from_pretrained(MODELS / name, dtype=torch.float32)
    roles = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id)
    assert tokenizer.is_fast
    assert None not in roles and len(set(roles)) == 4
    assert model.config.eos_token_id == tokenizer.eos_token_id
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer)
    for document in world.fusion_documents(60, seed=2):
        ids = tokenizer(document)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == document


@pytest.mark.parametrize("name", NAMES)
def test_prompt_tokens_are_a_prefix_of_prompt_and_answer(name: str) -> None:
    """Else the tokens at the boundary would be ones that never occur in training."""
    tokenizer = AutoTokenizer.from_pretrained(MODELS / name)
    pairs = [(item.prompt, item.answers[item.gold]) for item in world.commonsense_items(20)]
    pairs += [(item.prompt, item.answers[item.gold]) for item in world.reasoning_items(20)]
    pairs += [(item.prompt, item.solution) for item in world.code_items(20)]
    for prompt, answer in pairs:
        before, whole = tokenizer(prompt)["input_ids"], tokenizer(f"{prompt} {answer}")["input_ids"]
        assert whole[: len(before)] == before


@pytest.mark.slow
def test_a_brief_rebuild_gives_the_same_tokenizer_and_learns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "commonsense"
    monkeypatch.setitem(build.RECIPES, name, replace(build.RECIPES[name], steps=30))
    entry = build.build(name, tmp_path)
    assert entry["tokenizer_sha256"] == manifest()["models"][name]["tokenizer_sha256"]
    assert entry["training"]["last_loss"] < entry["training"]["first_loss"] - 1.0
    assert AutoModelForCausalLM.from_pretrained(tmp_path).num_parameters() == entry["parameters"]
