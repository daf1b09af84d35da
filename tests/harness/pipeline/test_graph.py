"""What the stages of a suite depend on: nothing that decides a result may be missing from its key."""

import re
import shutil
from pathlib import Path

import pytest

from harness.core.code_version import code_version
from harness.pipeline.graph import Pipeline, build_pipeline
from harness.suite.load import bundled_folder, load_suite
from harness.suite.run_options import RunOptions


def _pipeline(*overrides: str) -> Pipeline:
    return build_pipeline(load_suite("micro", overrides), RunOptions(offline=True))


def _keys(pipeline: Pipeline) -> dict[str, str]:
    return {s.name: s.key for s in pipeline.stages}


@pytest.fixture(scope="module")
def keys() -> dict[str, str]:
    return _keys(_pipeline())


def _changed(keys: dict[str, str], *overrides: str) -> set[str]:
    now = _keys(_pipeline(*overrides))
    return {name for name, key in now.items() if keys[name] != key}


def _families(names: set[str]) -> set[str]:
    return {":".join(n.split(":")[:2]) if n.startswith("training") else n.split(":")[0] for n in names}


@pytest.mark.parametrize(
    ("override", "families"),
    [
        ("fusion.lm_loss_weight=0.5", {"training:fused", "scoring"}),
        ("fusion.function=avgce", {"fusion", "training:fused", "scoring"}),
        ("fusion.alignment=em", {"alignment", "fusion", "training:fused", "scoring"}),
        ("fusion.compare=spelling", {"vocabulary", "alignment", "fusion", "training:fused", "scoring"}),
        ("fusion.next_token=vocabulary", {"alignment", "fusion", "training:fused", "scoring"}),
        ("fusion.duplicates=first", {"alignment", "fusion", "training:fused", "scoring"}),
        ("fusion.avgce_weights=release", {"fusion", "training:fused", "scoring"}),
        ("fusion.lm_loss_weight_end=0.9", {"training:fused", "scoring"}),
        ("lora={r: 4}", {"training:fused", "training:control", "scoring"}),
        ("seed=3", {"training:fused", "training:control", "scoring"}),
        ("scoring.batch_size=7", set()),
        ("comparison.confidence=0.9", set()),
    ],
)
def test_a_changed_value_repeats_what_follows_from_it(
    keys: dict[str, str], override: str, families: set[str]
) -> None:
    assert _families(_changed(keys, override)) == families


def test_other_adapters_are_another_training() -> None:
    """Apart from peft's release, which is in the key of every training with adapters."""
    four, eight = _keys(_pipeline("lora={r: 4}")), _keys(_pipeline("lora={r: 8}"))
    assert _families({name for name in four if four[name] != eight[name]}) == {
        "training:fused",
        "training:control",
        "scoring",
    }


def test_both_trainings_come_from_the_same_code_start_and_seed() -> None:
    made = {s.name: s for s in _pipeline().stages}
    fused, control = made["training:fused"], made["training:control"]
    assert fused.code == control.code
    for shared in ("training", "seed", "bos"):
        assert fused.params[shared] == control.params[shared]
    assert {i.name for i in fused.inputs} - {i.name for i in control.inputs} == {"fusion"}


def test_several_seeds_share_all_that_comes_before_the_training(keys: dict[str, str]) -> None:
    """The first is the training that one seed makes; another differs in its seed and nothing else."""
    pipeline = _pipeline("seeds=2")
    several = _keys(pipeline)
    assert keys.items() <= several.items()
    added = several.keys() - keys.keys()
    assert {":".join(name.split(":")[:2]) for name in added} == {
        *("training:fused@1", "training:control@1", "scoring:fused@1", "scoring:control@1")
    }
    made = {s.name: s for s in pipeline.stages}
    first, second = (dict(made[name].params) for name in ("training:fused", "training:fused@1"))
    assert first | {"seed": 1} == second
    assert pipeline.trainings == {"control": ("control", "control@1"), "fused": ("fused", "fused@1")}


@pytest.mark.parametrize(
    ("module", "families"),
    [
        ("harness.pipeline.steps.extract_distributions", {"distributions", "alignment", "fusion"}),
        ("harness.pipeline.steps.fuse", {"fusion"}),
        ("harness.pipeline.steps.map_vocabulary", {"vocabulary", "alignment", "fusion"}),
        ("fusion.fuse_blocks", {"fusion"}),
        ("fusion.vocabulary_rules", {"vocabulary", "alignment", "fusion"}),
        ("harness.scoring.samples", {"scoring"}),
        ("harness.sandbox.inside.examiner", {"scoring"}),
        ("harness.pipeline.steps.train_target", {"training:fused", "training:control"}),
        ("fusion.next_token", {"alignment", "fusion"}),
        ("fusion.fusellm_release", {"alignment"}),
        ("fusion.objective", {"training:fused", "training:control"}),
        ("harness.data.micro.world", {"corpus"}),
    ],
)
def test_an_edited_module_repeats_every_stage_that_it_serves(
    keys: dict[str, str], module: str, families: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = lambda m: "edited" if m == module else code_version(m)  # noqa: E731
    monkeypatch.setattr("harness.pipeline.stage.code_version", edited)
    pipeline = _pipeline()
    own = {s.name for s in pipeline.stages if module in s.code}
    assert _families(own) == families
    assert all(s.key != keys[s.name] for s in pipeline.stages if s.name in own)


def test_a_local_models_content_is_in_the_key_and_its_place_is_not(
    keys: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(bundled_folder() / "micro" / "models" / "target", moved)
    monkeypatch.setattr("harness.sandbox.confining", lambda: None)
    changed = _changed(keys, f"target.model={moved}")
    # elsewhere it is no model that the project ships: without a sandbox its programs are not run unasked
    assert changed and all(name.endswith(":micro_code") for name in changed)
    (moved / "tokenizer.json").write_text((moved / "tokenizer.json").read_text() + "\n")
    assert "windows" in _changed(keys, f"target.model={moved}")


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json", "vocab.json"])
def test_a_local_model_with_another_tokenizer_is_known_by_its_files(file: str, tmp_path: Path) -> None:
    """It is converted into the store, so its place alone would go on naming the old copy."""
    model = tmp_path / "own"
    shutil.copytree(bundled_folder() / "micro" / "models" / "target", model)
    overrides = (f"target.model={model}", f"target.tokenizer={model}")
    before = _keys(_pipeline(*overrides))
    path = model / file
    path.write_bytes((path.read_bytes() if path.exists() else b"{}") + b"\n")
    after = _keys(_pipeline(*overrides))
    assert before["model:target"] != after["model:target"] and before["windows"] != after["windows"]


def test_the_documented_data_flow_has_the_stages_and_inputs_there_are() -> None:
    stages = _pipeline().stages
    made = {(i.name.partition(":")[0], s.name.partition(":")[0]) for s in stages for i in s.inputs}
    page = Path(__file__).parents[3] / "docs" / "architecture.md"
    picture, _, rest = page.read_text().partition("flowchart LR")[2].partition("```")
    drawn = set(re.findall(r"^    (\w+) --> (\w+)$", picture, flags=re.MULTILINE))
    assert {(a, b) for a, b in drawn if a != "record"} == made
    described = re.findall(r"^\| `(\w+)` \|", rest, flags=re.MULTILINE)
    assert set(described) == {name for pair in made for name in pair}
