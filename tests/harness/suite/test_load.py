"""Loading suites: what a good one means, and that every mistake of a bad one is reported at once."""

import json
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusion.hf_settings import LORA_SET_HERE, REFUSED_ARGUMENTS
from fusion.method import choices
from fusion.presets import PRESETS
from harness.core.exceptions import SuiteError
from harness.suite.load import description, limit_items, load_suite
from harness.suite.spec import FusionSpec, LoadedSuite, resolved
from harness.suite.synonyms import SYNONYMS
from harness.suite.yaml_text import apply_overrides, read_yaml

SMALL: dict[str, Any] = {
    "version": 1,
    "name": "small",
    "target": {"name": "base", "model": "models/base"},
    "sources": [{"name": "other", "model": "owner/other"}, {"name": "v2.1", "model": "owner/v2.1"}],
    "corpus": {"kind": "python"},
    "benchmarks": {
        "code": [{"name": "humaneval", "tasks": "humaneval", "metrics": "pass@1", "limit": 50}],
        "commonsense": [{"name": "arc", "tasks": ["arc_easy", "arc_challenge"], "metrics": ["acc"]}],
    },
}


def model_folder(path: Path) -> None:
    """A folder with what a model folder must have, as far as loading a suite looks."""
    path.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (path / name).touch()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite's folder that holds the target's model folder; the working directory is elsewhere."""
    model_folder(tmp_path / "suite/models/base")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "suite"


def load(folder: Path, *overrides: str, **changes: Any) -> LoadedSuite:
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}))
    return load_suite(path, overrides)


def mistakes(folder: Path, *overrides: str, **changes: Any) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        load(folder, *overrides, **changes)
    return list(caught.value.mistakes)


def only_mistake(folder: Path, *overrides: str, **changes: Any) -> str:
    found = mistakes(folder, *overrides, **changes)
    assert len(found) == 1, found
    return found[0]


def test_a_small_suite_gets_every_default(folder: Path) -> None:
    loaded = load(folder)
    assert loaded.folder == folder
    assert loaded.suite.fusion.top_k == 10
    assert loaded.suite.benchmarks["code"][0].tasks == ("humaneval",)  # one name needs no brackets
    assert loaded.suite.controls == ("clm",)


def test_resolved_is_json_with_defaults_and_equal_for_equal_suites(folder: Path) -> None:
    plain = resolved(load(folder).suite)
    assert json.loads(json.dumps(plain)) == plain
    assert plain["fusion"]["temperature"] == 1.0
    assert plain == resolved(load(folder, "fusion.temperature=1").suite)
    assert plain != resolved(load(folder, "fusion.temperature=2").suite)


TEN_MISTAKES = """\
version: 1
name: ten
target: {name: base, model: models/bass}
sources:
  - {name: other, modle: owner/other}
  - {name: other, model: owner/third}
corpus: {kind: files, dataset: owner/texts}
fusion: {top_k: 1000, function: minse, temperature: hot}
training: {learning_rat: 1, output_dir: here}
benchmarks:
  code: [{name: humaneval, tasks: humaneval, metrics: pass@1, limt: 10}]
seed: 1
seed: 2
"""


def test_ten_mistakes_and_more_are_reported_in_one_go(folder: Path) -> None:
    (folder / "ten.yaml").write_text(TEN_MISTAKES)
    with pytest.raises(SuiteError) as caught:
        load_suite(folder / "ten.yaml", ["fusion.dtype=float8"])
    expected = [
        "seed: key given twice (line 12, and line 13, column 1)",
        "target.model: no folder",
        "(did you mean 'base'?)",
        "sources.other.modle: unknown key (did you mean 'model'?)",
        "sources.other: exactly one of 'model' and 'wheel' is needed, found neither",
        "sources.other.name: 'other' is already the name of sources.other",
        "corpus.files: needed with kind files",
        "corpus.dataset: not used with kind files",
        "fusion.top_k: input should be less than or equal to 256, not 1000",
        "fusion.function: 'minse' is not one of 'mince', 'avgce' (did you mean 'mince'?)",
        "fusion.temperature: input should be a valid number",
        "fusion.dtype: 'float8' is not one of",
        "training.learning_rat: not a TrainingArguments name (did you mean 'learning_rate'?)",
        "training.output_dir: set by the harness",
        "benchmarks.code.humaneval.limt: unknown key (did you mean 'limit'?)",
    ]
    text = str(caught.value)
    assert [part for part in expected if part not in text] == []
    assert len(caught.value.mistakes) == 14  # one of the 15 parts is the hint of the missing folder
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("value", ["null", "1", "{}", "[mined]"])
def test_a_registered_choice_of_another_type_is_answered_with_the_names(value: str) -> None:
    with pytest.raises(SuiteError, match=r"fusion\.vocabulary: .* is not one of 'em', 'mined', 'prefix'"):
        load_suite("micro", [f"fusion.vocabulary={value}"])


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 3, -1, 0.5, "", "text", [], ["x"], [[]], {}, {"name": []}, {"kind": ["x"]}]
)


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in plain data."""
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [*([path] if path else []), *(p for key, value in inside for p in places(value, (*path, key)))]


FULL = {**SMALL, "corpus": {"kind": "files", "files": ["*.txt"]}, "comparison": {"published": "fusellm-7b"}}


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(places(FULL)), ODD), min_size=1, max_size=3))
def test_whatever_stands_where_it_should_not_is_a_mistake_and_no_crash(
    folder: Path, changes: list[tuple[tuple[Any, ...], Any]]
) -> None:
    data = deepcopy(FULL)
    for path, value in changes:
        with suppress(LookupError, TypeError):  # an earlier change removed the place
            inner: Any = data
            for step in path[:-1]:
                inner = inner[step]
            inner[path[-1]] = deepcopy(value)
    with suppress(SuiteError):
        load(folder, **data)


# --- YAML ------------------------------------------------------------------------------------------------


def test_syntax_errors_name_line_and_column(folder: Path) -> None:
    (folder / "broken.yaml").write_text("version: 1\nname: [a, b\ntarget: {}\n")
    with pytest.raises(SuiteError, match=r"YAML syntax: line 3, column 7"):
        load_suite(folder / "broken.yaml")


@pytest.mark.parametrize(("text", "kind"), [("", "nothing"), ("- a\n", "a list"), ("hello", "a str")])
def test_a_file_that_is_no_mapping_is_refused(folder: Path, text: str, kind: str) -> None:
    (folder / "odd.yaml").write_text(text)
    with pytest.raises(SuiteError, match=f"this file holds {kind}"):
        load_suite(folder / "odd.yaml")


def test_a_file_that_is_not_utf8_says_so(folder: Path) -> None:
    (folder / "latin.yaml").write_bytes(b"version: 1\nname: caf\xe9\n")
    for read in (load_suite, description):
        with pytest.raises(SuiteError, match="not UTF-8: byte 0xe9 in line 2"):
            read(folder / "latin.yaml")


def test_duplicate_keys_are_found_inside_lists(folder: Path) -> None:
    (folder / "twice.yaml").write_text(yaml.safe_dump(SMALL) + "training:\n  a:\n  - {b: 1, b: 2}\n")
    with pytest.raises(SuiteError, match=r"training\.a\.0\.b: key given twice"):
        load_suite(folder / "twice.yaml")


def test_an_alias_of_itself_is_refused(folder: Path) -> None:
    (folder / "loop.yaml").write_text(yaml.safe_dump(SMALL) + "training: &loop {a: *loop}\n")
    with pytest.raises(SuiteError, match=r"training\.a: the alias refers to a part of the file"):
        load_suite(folder / "loop.yaml")


def test_what_overrides_one_alias_leaves_the_others(folder: Path) -> None:
    (folder / "aliases.yaml").write_text(yaml.safe_dump(SMALL) + "training: {a: &same [{b: 1}], c: *same}\n")
    raw, mistakes = read_yaml((folder / "aliases.yaml").read_text())
    assert raw is not None
    assert mistakes == [] == apply_overrides(raw, ["training.a.0.b=2"])
    assert raw["training"] == {"a": [{"b": 2}], "c": [{"b": 1}]}


def test_a_newer_version_is_the_only_complaint(folder: Path) -> None:
    assert "newer than this FuseGauge supports (1)" in only_mistake(folder, version=2, novelty=True)


def test_an_unknown_suite_names_the_nearest(folder: Path) -> None:  # noqa: ARG001
    with pytest.raises(SuiteError, match="did you mean 'pocket'"):
        load_suite("poket")


# --- overrides -------------------------------------------------------------------------------------------


def test_overrides_reach_nested_keys_list_elements_and_names(folder: Path) -> None:
    loaded = load(
        folder,
        "fusion.lm_loss_weight=0.5",
        "sources.0.model=owner/by-index",
        "sources.v2.1.model=owner/by-name-with-a-dot",
        "benchmarks.code.humaneval.limit=10",
        "benchmarks.commonsense.arc.gen_kwargs.max_gen_toks=3",
        "training={num_train_epochs: 2}",
    )
    suite = loaded.suite
    assert suite.fusion.lm_loss_weight == 0.5
    assert [s.model for s in suite.sources] == ["owner/by-index", "owner/by-name-with-a-dot"]
    assert suite.benchmarks["code"][0].limit == 10
    assert suite.benchmarks["commonsense"][0].gen_kwargs == {"max_gen_toks": 3}
    assert suite.training == {"num_train_epochs": 2}
    assert loaded.overrides[0] == "fusion.lm_loss_weight=0.5"


def test_the_longest_name_that_fits_is_meant(folder: Path) -> None:
    sources = [{"name": name, "model": f"owner/{name}"} for name in ("v2", "v2.1")]
    suite = load(folder, "sources.v2.1.model=a/b", "sources.v2.model=c/d", sources=sources).suite
    assert [s.model for s in suite.sources] == ["c/d", "a/b"]


def test_an_override_with_null_drops_a_value(folder: Path) -> None:
    assert load(folder, "benchmarks.code.humaneval.limit=null").suite.benchmarks["code"][0].limit is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("fusion.top_k", "expected key=value"),
        ("=3", "expected key=value"),
        ("sources.othr.model=x/y", "no element 'othr' (did you mean 'other'?); there are other, v2.1, 0, 1"),
        ("sources.7.model=x/y", "no element '7'"),
        ("name.part=1", "name is 'small' and has no keys"),
        ("fusion.topk=3", "fusion.topk: unknown key (did you mean 'top_k'?)"),
        ("fusion.top_k=[1", "YAML syntax: line 1"),
    ],
)
def test_bad_overrides_say_what_is_wrong(folder: Path, override: str, message: str) -> None:
    assert message in only_mistake(folder, override)


def test_paths_in_overrides_may_start_at_the_working_directory(folder: Path) -> None:
    model_folder(Path("here/model"))
    assert load(folder, "target.model=./here/model").suite.target.model == "./here/model"
    assert "no folder" in only_mistake(folder, "target.model=./there/model")


# --- rules across keys -----------------------------------------------------------------------------------

WHEEL = {"packages": "p", "gguf": "*.gguf"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"name": "a"}, "found neither"),
        ({"name": "a", "model": "x/y", "wheel": WHEEL}, "found both (--set sources.a.wheel=null"),
        ({"name": "a", "model": "random:llama"}, "random weights need 'tokenizer'"),
        ({"name": "a", "model": "random:", "tokenizer": "x/y"}, "'random:' needs a model type"),
        ({"name": "a", "model": "x/y", "tokenizer": "./nowhere"}, "sources.a.tokenizer: no folder"),
        ({"name": "Fused", "model": "x/y"}, "'fused' is reserved"),
        ({"name": "control", "model": "x/y"}, "'control' is reserved"),
        ({"name": "target", "model": "x/y"}, "'target' is reserved for the target"),
        ({"name": "BASE", "model": "x/y"}, "'BASE' is already the name of target"),
        ({"name": "../up", "model": "x/y"}, "string should match pattern"),
    ],
)
def test_rules_for_models(folder: Path, source: dict[str, Any], message: str) -> None:
    assert message in only_mistake(folder, sources=[source])


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ((), "has no config.json and no *.safetensors"),
        (("model.safetensors",), "has no config.json; "),
        (("config.json",), "has no *.safetensors; "),
        (("config.json", "pytorch_model.bin"), "only as pickle: pytorch_model.bin, which can run code"),
    ],
)
def test_a_folder_that_is_no_model_is_a_mistake(folder: Path, kept: tuple[str, ...], message: str) -> None:
    (folder / "models/other").mkdir()
    for name in kept:
        (folder / "models/other" / name).touch()
    found = only_mistake(folder, sources=[{"name": "other", "model": "models/other"}])
    assert found.startswith("sources.other.model: ")
    assert message in found


def test_a_tokenizers_folder_needs_no_weights(folder: Path) -> None:
    (folder / "tokenizer").mkdir()
    load(folder, sources=[{"name": "other", "model": "random:llama", "tokenizer": "tokenizer"}])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("fusion.vocabulary_threshold=1", "fusion.vocabulary_threshold: input should be less than 1"),
        *(
            (f"{key}={value}", f"{key}: input should be {bound}")
            for key in ("seed", "corpus.seed", "scoring.seed", "comparison.seed")
            for value, bound in ((-1, "greater than or equal to 0"), (2**32, "less than 4294967296"))
        ),
        ("scoring.device=gpu", "scoring.device: 'gpu' is not one of auto, cpu, cuda, cuda:0, mps"),
        ("scoring.device=cud:1", "(did you mean 'cuda:1'?)"),
        ("scoring.device=GPU:1", "(did you mean 'cuda:1'?)"),
        ("scoring.device=cuda:x", "(did you mean 'cuda:0'?)"),
    ],
)
def test_values_that_would_fail_only_in_a_late_stage_are_refused(
    folder: Path, override: str, message: str
) -> None:
    assert message in only_mistake(folder, override)


@pytest.mark.parametrize(
    ("overrides", "seeds"),
    [
        ((), (0,)),
        (("seed=4",), (4,)),
        (("seeds=3",), (0, 1, 2)),
        (("seed=4", "seeds=2"), (4, 5)),
        (("seeds=[7, 3]",), (7, 3)),
    ],
)
def test_seeds_of_all_trainings(folder: Path, overrides: tuple[str, ...], seeds: tuple[int, ...]) -> None:
    assert load(folder, *overrides).suite.training_seeds == seeds


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("seeds=0",), "seeds: 0 is not a number of trainings from 1 to 100"),
        (("seeds=1234",), "seeds: 1234 is not a number of trainings"),
        (("seeds=[1, 2, 1]",), "seeds: 1 is given twice"),
        (("seed=5", "seeds=[1, 2]"), "seed: 5 is not the first of seeds, 1"),
        (("seeds=[-1]",), "seeds.0: input should be greater than or equal to 0"),
    ],
)
def test_seeds_that_make_no_trainings_are_refused(
    folder: Path, overrides: tuple[str, ...], message: str
) -> None:
    assert any(message in found for found in mistakes(folder, *overrides))


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1", "mps"])
def test_devices(folder: Path, device: str) -> None:
    assert load(folder, f"scoring.device={device}").suite.scoring.device == device


def test_a_password_is_in_no_mistake(folder: Path) -> None:
    address = "http://me:secret@host/" + "x" * 60
    assert "secret" not in str(mistakes(folder, tracking=address))
    assert "secret" not in str(mistakes(folder, f"tracking.uri.x={address}", tracking={"uri": address}))
    assert "secret" not in str(mistakes(folder, tracking=f"http://{'m' * 40}:secretsecret@host/"))


def test_the_target_may_be_called_target(folder: Path) -> None:
    assert load(folder, "target.name=target").suite.target.name == "target"


def test_a_benchmark_name_is_unique_over_all_capabilities(folder: Path) -> None:
    rows = {c: [{"name": "arc", "tasks": "arc_easy", "metrics": "acc"}] for c in ("a", "b")}
    assert "benchmarks.b.arc.name: 'arc' is already the name of benchmarks.a.arc" in only_mistake(
        folder, benchmarks=rows
    )


def test_average_is_no_benchmark_name(folder: Path) -> None:
    rows = {"a": [{"name": "average", "tasks": "arc_easy", "metrics": "acc"}]}
    assert "reserved for the average of a capability" in only_mistake(folder, benchmarks=rows)


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        ({"kind": "generated"}, "corpus.generator: needed with kind generated"),
        ({"kind": "hub"}, "corpus.dataset: needed with kind hub"),
        ({"kind": "files"}, "corpus.files: needed with kind files"),
        ({"kind": "files", "files": "none-*.jsonl"}, "no file matches 'none-*.jsonl'"),
        (
            {"kind": "python", "column": "x"},
            "corpus.column: not used with kind python, only with files and hub",
        ),
        ({"kind": "pyton"}, "'pyton' is not one of"),
        ({"kind": "python", "documents": 0}, "corpus.documents: input should be greater than 0"),
    ],
)
def test_corpus_keys_fit_its_kind(folder: Path, corpus: dict[str, Any], message: str) -> None:
    assert message in only_mistake(folder, corpus=corpus)


def test_optional_corpus_keys_are_taken(folder: Path) -> None:
    hub = {"kind": "hub", "dataset": "owner/texts", "config": "en", "split": "test", "column": "content"}
    assert load(folder, corpus=hub).suite.corpus.split == "test"
    (folder / "a.jsonl").write_text('{"content": "x"}\n')
    files = {"kind": "files", "files": "a.jsonl", "column": "content"}
    assert load(folder, corpus=files).suite.corpus.column == "content"


def test_a_kind_can_be_changed_by_overrides_alone(folder: Path) -> None:
    (folder / "a.jsonl").write_text('{"text": "x"}\n')
    spec = load(folder, "corpus.kind=files", "corpus.files=a.jsonl").suite.corpus
    assert (spec.kind, spec.files) == ("files", ("a.jsonl",))


def test_a_kind_given_by_override_replaces_what_the_file_said_for_another(folder: Path) -> None:
    hub = {"kind": "hub", "dataset": "owner/texts", "column": "content", "max_bytes": 5}
    spec = load(folder, "corpus.kind=python", corpus=hub).suite.corpus
    assert (spec.kind, spec.dataset, spec.max_bytes) == ("python", None, 5)
    both = only_mistake(folder, "corpus.kind=python", "corpus.column=x", corpus=hub)
    assert "corpus.column: not used with kind python" in both


def test_unknown_published_results_are_a_mistake(folder: Path) -> None:
    assert "did you mean 'fusellm-7b'?" in only_mistake(folder, comparison={"published": "fusellm7b"})


# --- training --------------------------------------------------------------------------------------------


def test_training_numbers_that_yaml_reads_as_text_become_numbers(folder: Path) -> None:
    training = load(folder, "training={learning_rate: 1e-5, max_steps: '3'}").suite.training
    assert training == {"learning_rate": 1e-5, "max_steps": 3}
    assert isinstance(training["max_steps"], int)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"learning_rate": "fast"}, "training.learning_rate: expected float, not 'fast'"),
        ({"max_steps": 1.5}, "training.max_steps: expected int, not 1.5"),
        ({"max_steps": True}, "training.max_steps: expected int, not True"),
        ({"bf16": 1}, "training.bf16: expected bool, not 1"),
        ({"lr_scheduler_type": "cosin"}, "(did you mean 'cosine'?)"),
        ({"warmup_ratio": 0.1}, "it is now warmup_steps"),
        ({"seed": 3}, "set by the harness; use the suite's 'seed'"),
        ({"report_to": "mlflow"}, "use the suite's 'tracking'"),
        ({"remove_unused_columns": True}, "it would remove the fused rows"),
        ({"per_device_batch": 3}, "did you mean"),
        ({"hub_token": "abc"}, "training.hub_token: set by the harness; results stay local, and run.json"),
        ({"push_to_hub_token": "abc"}, "results stay local, and run.json"),
        ({"push_to_hub": True}, "results stay local"),
        ({"num_train_epochs": 0}, "training.num_train_epochs: must be above 0 unless max_steps is, not 0"),
        ({"num_train_epochs": -1, "max_steps": -1}, "unless max_steps is, not -1"),
        (
            {"per_device_train_batch_size": 0},
            "per_device_train_batch_size: must be at least 1, not 0",
        ),
        ({"gradient_accumulation_steps": 0}, "must be at least 1, not 0"),
        ({"bf16_full_eval": True}, "training.bf16_full_eval: the last evaluation would round"),
        ({"fp16": True}, "training.fp16: gradients are computed with the loss"),
        ({"save_steps": 0}, "training.save_steps: must be above 0, not 0"),
        ({"logging_steps": "-5"}, "training.logging_steps: must be above 0, not -5"),
        (
            {"eval_strategy": "steps"},
            "eval_strategy: 'steps' needs corpus.evaluation_fraction above 0",
        ),
    ],
)
def test_training_is_checked_against_training_arguments(
    folder: Path, training: dict[str, Any], message: str
) -> None:
    assert message in only_mistake(folder, training=training)


def test_training_bounds_leave_what_has_a_meaning(folder: Path) -> None:
    steps = {"num_train_epochs": 0, "max_steps": 3, "save_steps": 0.5, "eval_strategy": "steps"}
    assert load(folder, "corpus.evaluation_fraction=0.1", training=steps).suite.training == steps
    load(folder, training={"max_steps": -1, "num_train_epochs": 0.5, "eval_strategy": "no"})
    load(folder, training={"fp16": False, "bf16": True})


def test_training_takes_values_of_any_declared_type(folder: Path) -> None:
    given = {"lr_scheduler_type": "cosine", "warmup_steps": 0.1, "deepspeed": {"zero": 2}, "fsdp": None}
    assert load(folder, training=given).suite.training == given


# --- fusion and its presets ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_all_of_the_papers_choices(folder: Path, name: str) -> None:
    spec = load(folder, fusion={"paper": name}).suite.fusion
    assert {key: getattr(spec, key) for key in PRESETS[name]} == PRESETS[name]
    assert spec.without_teacher == ("gold" if name == "fusellm" else "current")


def test_a_key_beside_a_preset_wins(folder: Path) -> None:
    spec = load(folder, "fusion.top_k=5", fusion={"paper": "fusellm", "function": "avgce"}).suite.fusion
    assert (spec.function, spec.top_k, spec.leftover) == ("avgce", 5, "renormalise")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_given_by_override_beats_the_files_keys_and_no_other_override(
    folder: Path, name: str
) -> None:
    file = {
        "paper": "fusellm",
        "alignment": "end_byte",
        "vocabulary": "prefix",
        "quality": "bits_per_byte",
        "lm_loss_weight": 0.2,
        "lm_loss_weight_end": 0.9,
        "lm_loss_weight_schedule": "cosine",
        "block_size": 64,
    }
    spec = load(folder, f"fusion.paper={name}", "fusion.function=avgce", fusion=file).suite.fusion
    decided = {**PRESETS[name], "function": "avgce", "lm_loss_weight_end": None}
    assert {key: getattr(spec, key) for key in decided} == decided
    assert spec.block_size == 64  # of which no preset speaks


def test_overriding_the_whole_section_or_no_preset_takes_nothing_away(folder: Path) -> None:
    whole = load(folder, "fusion={top_k: 5, paper: fusellm}", fusion={"top_k": 7}).suite.fusion
    then = load(folder, "fusion={top_k: 5}", "fusion.paper=fusellm").suite.fusion
    none = load(folder, "fusion.paper=null", fusion={"paper": "fusellm", "top_k": 7}).suite.fusion
    assert (whole.top_k, then.top_k, none.top_k) == (5, 5, 7)
    assert (whole.alignment, then.alignment, none.alignment) == ("mined", "mined", "end_byte")


@pytest.mark.parametrize(
    ("fusion", "message"),
    [
        (
            {"paper": "fusellm-relese"},
            "'fusellm-relese' is not one of 'fusellm', 'fusellm-release'",
        ),
        (
            {"vocabulary": "prefix", "compare": "spelling"},
            "fusion.compare: 'spelling' cannot be used with vocabulary 'prefix'",
        ),
        (
            {"vocabulary": "prefix", "paper": "fusellm-release"},
            "fusion.compare: 'spelling' (of fusion.paper fusellm-release) cannot be used with vocabulary",
        ),
        ({"lm_loss_weight_schedule": "cosine"}, "not used without lm_loss_weight_end"),
        ({"lm_loss_weight_end": 1.5}, "fusion.lm_loss_weight_end: input should be less than or equal to 1"),
        ({"top_k": 257}, "fusion.top_k: input should be less than or equal to 256"),
    ],
)
def test_rules_for_fusion(folder: Path, fusion: dict[str, Any], message: str) -> None:
    assert message in only_mistake(folder, fusion=fusion)


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("lambda", 0.9, "lm_loss_weight"),
        ("Lamda", 0.9, "lm_loss_weight"),
        ("granularity", "sequence", "document"),
        ("alignment", "MinED", "mined"),
        ("alignment", "exact", "em"),
        ("vocabulary", "exact-match", "em"),
        ("function", "MinCE", "mince"),
        ("quality", "CE", "cross_entropy"),
        ("loss", "cross_entropy", "ce"),
        ("paper", "FuseLLM", "fusellm"),
        ("dtype", "bf16", "bfloat16"),
        ("compare", "byte", "bytes"),  # no synonym: the nearest
    ],
)
def test_the_papers_words_are_known(folder: Path, key: str, value: Any, hint: str) -> None:
    assert only_mistake(folder, fusion={key: value}).endswith(f"(did you mean {hint!r}?)")


def test_every_synonym_is_of_a_name_that_exists() -> None:
    hints = get_type_hints(FusionSpec, include_extras=True)
    values = {v for hint in hints.values() for v in choices(hint) or ()}
    names = {*hints, *values, "r", "lora_alpha", "lora_dropout"}
    assert set(SYNONYMS.values()) <= names


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ({"rank": 8}, "lora.rank: not a LoraConfig name (did you mean 'r'?)"),
        ({"lora_alpha": "x"}, "lora.lora_alpha: must be a number above 0, not 'x'"),
        ({"lora_alpha": True}, "lora.lora_alpha: must be a number above 0, not True"),
        ({"lora_alpha": 0}, "lora.lora_alpha: must be a number above 0, not 0"),
        ({"lora_dropout": 1}, "lora.lora_dropout: must be a number from 0 to below 1, not 1"),
        ({"lora_dropout": -0.1}, "must be a number from 0 to below 1, not -0.1"),
        ({"lora_dropout": "0.1"}, "must be a number from 0 to below 1, not '0.1'"),
        ({"bias": "lora-only"}, "lora.bias: 'lora-only' is not one of none, all, lora_only (did you mean"),
        ({"revision": "main"}, "lora.revision: set by the harness; it is the target"),
        ({"lora_alfa": 8}, "lora.lora_alfa: not a LoraConfig name (did you mean 'lora_alpha'?)"),
        ({"task_type": "SEQ_CLS"}, "lora.task_type: set by the harness"),
        ({"r": 0}, "lora.r: must be a whole number of at least 1, not 0"),
        ({"layers_to_transform": [1], "target_modules": "a.*"}, "lora: "),
    ],
)
def test_lora_is_checked_against_peft(folder: Path, lora: dict[str, Any], message: str) -> None:
    assert message in only_mistake(folder, lora=lora)


def test_what_the_training_refuses_is_refused_before_it(folder: Path) -> None:
    for name, reason in LORA_SET_HERE.items():
        assert only_mistake(folder, lora={name: None}) == f"lora.{name}: set by the harness; {reason}"
    for name, reason in REFUSED_ARGUMENTS.items():
        assert only_mistake(folder, training={name: True}) == f"training.{name}: {reason}"


def test_lora_takes_pefts_own_names(folder: Path) -> None:
    given = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "lora_dropout": 0.1}
    assert load(folder, lora=given).suite.lora == given


# --- limits ----------------------------------------------------------------------------------------------


def test_limit_items_lowers_limits_and_never_raises_them(folder: Path) -> None:
    suite = load(folder).suite
    few, many = limit_items(suite, 7), limit_items(suite, 70)
    assert [b.limit for rows in few.benchmarks.values() for b in rows] == [7, 7]
    assert [b.limit for rows in many.benchmarks.values() for b in rows] == [50, 70]
    assert suite.benchmarks["commonsense"][0].limit is None  # the original is untouched
