"""What a suite's `model`, `tokenizer` and `files` refer to: folders, the hub, random weights, files."""

import re
from dataclasses import dataclass
from pathlib import Path


def matching_files(pattern: str, folder: Path) -> list[Path]:
    """Files that match `pattern`, sorted: in `folder`, the suite's, or else in the current folder."""
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
    """What `text` refers to in a suite in `folder`; a LocalFolder may not exist.

    An existing folder beside the suite takes precedence over a hub repository of the same name. "owner/name"
    is a hub repository unless `owner` is a folder beside the suite (then it is taken for a misspelt path).
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
    """Relative to the current folder if it exists there (as typed in an override), else to the suite's."""
    path = Path(text).expanduser()
    return path.resolve() if path.is_dir() else (folder / path).resolve()
