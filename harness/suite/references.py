"""What a suite's `model` or `tokenizer` points at: a local folder, a hub repository, random weights."""

import re
from dataclasses import dataclass
from pathlib import Path


def matching_files(pattern: str, folder: Path) -> list[Path]:
    """Files that `pattern` means, sorted: beside the suite if any are there, else in the current folder."""
    for base in (folder, Path.cwd()):
        path = (base / Path(pattern).expanduser()).resolve()
        found = [path] if path.is_file() else Path(path.anchor).glob(str(path.relative_to(path.anchor)))
        files = sorted(p for p in found if p.is_file())
        if files:
            return files
    return []


HUB_ID = re.compile(r"^[\w][\w.-]*/[\w][\w.-]*(@[\w./-]+)?$", re.ASCII)
RANDOM = "random:"


@dataclass(frozen=True)
class LocalFolder:
    path: Path


@dataclass(frozen=True)
class HubRepository:
    repository: str
    revision: str | None = None


@dataclass(frozen=True)
class RandomWeights:
    model_type: str
    seed: int = 0


ModelReference = LocalFolder | HubRepository | RandomWeights


def reference_of(text: str, folder: Path) -> ModelReference:
    """What `text` means in a suite that lies in `folder`; a missing local folder is still a LocalFolder.

    A folder that exists beside the suite wins over a hub repository of the same spelling. "owner/name" is a
    hub repository unless its first part is a folder beside the suite (then a local name is misspelt).
    """
    if text.startswith(RANDOM):
        model_type, _, seed = text.removeprefix(RANDOM).partition(":")
        return RandomWeights(model_type, int(seed) if seed.isdecimal() else 0)
    if (folder / text).expanduser().is_dir():
        return LocalFolder((folder / text).resolve())
    if HUB_ID.match(text) and not (folder / text.split("/")[0]).is_dir():
        repository, _, revision = text.partition("@")
        return HubRepository(repository, revision or None)
    return LocalFolder(_local(text, folder))


def _local(text: str, folder: Path) -> Path:
    """Below the working directory where it is there (typed as an override), else beside the suite."""
    path = Path(text).expanduser()
    return path.resolve() if path.is_dir() else (folder / path).resolve()
