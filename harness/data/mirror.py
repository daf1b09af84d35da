"""Datasets from a mirror, a local folder with the hub's datasets; tasks that load them are unchanged.

lm-eval looks up `datasets.load_dataset` at call time. Within `redirected`, that call reads the mirror if it
has the dataset, otherwise the hub or its local cache.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.core.environment import replaced
from harness.core.exceptions import InputError, first_line
from harness.data.text_files import json_rows

LAYOUT = "<owner>/<dataset>/<config>/<split>.jsonl"  # of a mirror; without <config> where there is none
LoadDataset = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class DataAccess:
    """Where datasets may come from."""

    mirror: Path | None = None  # a folder with the layout LAYOUT
    offline: bool = False  # do not use the network


@dataclass(frozen=True)
class DatasetRef:
    """A dataset as `datasets.load_dataset(path, name)` takes it."""

    path: str
    name: str | None = None

    def __str__(self) -> str:
        return f"{self.path} ({self.name})" if self.name else self.path

    def folder(self, mirror: Path) -> Path:
        """The folder of its splits in a mirror; it may not exist."""
        return mirror / self.path / (self.name or "")

    def found(self, mirror: Path | None) -> Path | None:
        """The folder of its splits, or None if there is no mirror or none in it."""
        folder = self.folder(mirror) if mirror else None
        return folder if folder and split_files(folder) else None


def split_file(folder: Path, split: str) -> Path:
    return folder / f"{split}.jsonl"


def split_files(folder: Path) -> list[Path]:
    return sorted(folder.glob(split_file(folder, "*").name))


def mirrored_datasets(mirror: Path) -> set[str]:
    """`<owner>/<dataset>` of every dataset in a mirror."""
    files = mirror.glob(f"*/*/**/{split_file(mirror, '*').name}")
    return {"/".join(path.relative_to(mirror).parts[:2]) for path in files}


@contextmanager
def redirected(access: DataAccess) -> Iterator[None]:
    """Within the block, `datasets.load_dataset` reads the mirror first and stays offline if told to.

    Raises (inside the block):
        InputError: a dataset that is in neither the mirror nor the hub or its cache, or a damaged file.
    """
    import datasets

    with ExitStack() as stack:
        load = partial_load(datasets.load_dataset, access)
        stack.enter_context(replaced(datasets, "load_dataset", load))
        stack.enter_context(network(access))
        yield


def partial_load(original: LoadDataset, access: DataAccess) -> LoadDataset:
    """A `datasets.load_dataset` that tries the mirror first, then `original`."""

    def load(path: str, name: str | None = None, *args: Any, split: str | None = None, **others: Any) -> Any:
        ref = DatasetRef(path, name)
        part = args or others.get("data_dir") or others.get("data_files")
        # A mirror has whole configurations only: with data_dir or data_files, it would return too much.
        if not part and (folder := ref.found(access.mirror)):
            splits = _read_splits(folder, _state(folder))
            return splits if split is None else _one_split(splits, split, ref, folder)
        try:
            return original(path, name, *args, split=split, **others)
        except Exception as error:
            raise _not_found(ref, access, error) from error

    return load


def is_local(path: str) -> bool:
    """Whether a path names the user's own files: a loader ("json", "csv", ...) or a folder."""
    from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES

    return path in _PACKAGED_DATASETS_MODULES or Path(path).exists()


def _not_found(ref: DatasetRef, access: DataAccess, error: Exception) -> InputError:
    reason = first_line(error)
    if is_local(ref.path):
        return InputError(f"dataset {ref}: {reason}", remedy="check the data files that the task names")
    mirror = f"the mirror {access.mirror}" if access.mirror else "a mirror (--mirror; none was given)"
    hub = "the hub's local cache (offline)" if access.offline else "the hub"
    place = split_file(ref.folder(Path()), "<split>").as_posix()
    return InputError(
        f"dataset {ref} is neither in {mirror} as {place} nor in {hub}: {reason}",
        remedy="fetch what is missing with `prepare` where there is a network (with --mirror FOLDER into a "
        "mirror), or copy it into a mirror as named here and give --mirror (or FUSEGAUGE_MIRROR)",
    )


def missing_datasets(refs: Iterable[DatasetRef], access: DataAccess) -> dict[DatasetRef, InputError]:
    """The datasets that cannot be read, with the errors. Those read from the hub are cached afterwards."""
    import datasets

    missing = {}
    with redirected(access):
        for ref in refs:
            try:
                datasets.load_dataset(ref.path, ref.name)
            except InputError as error:
                missing[ref] = error
    return missing


@contextmanager
def network(access: DataAccess) -> Iterator[None]:
    """Within the block the hub's libraries stay offline if told to.

    Their environment variables are read at import, so the values read from them are replaced.
    """
    import datasets.config
    import huggingface_hub.constants

    if not access.offline:
        yield
        return
    with (
        replaced(datasets.config, "HF_HUB_OFFLINE", True),
        replaced(huggingface_hub.constants, "HF_HUB_OFFLINE", True),
    ):
        yield


def _one_split(splits: Any, split: str, ref: DatasetRef, folder: Path) -> Any:
    if split not in splits:
        raise InputError(
            f"dataset {ref} has no split {split!r} in {folder}, only {', '.join(splits)}",
            remedy=f"add {split_file(folder, split).name} there",
        )
    return splits[split]


def _state(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of the files: changes when the folder does."""
    return tuple((f.stem, f.stat().st_size, f.stat().st_mtime_ns) for f in split_files(folder))


@lru_cache(maxsize=64)
def _read_splits(folder: Path, state: tuple[tuple[str, int, int], ...]) -> Any:
    from datasets import DatasetDict

    return DatasetDict({split: _read_split(split_file(folder, split)) for split, *_ in state})


def _read_split(path: Path) -> Any:
    from datasets import Dataset
    from pyarrow import ArrowException

    try:
        return Dataset.from_dict(_read_columns(path))
    except (ArrowException, TypeError) as error:
        raise InputError(
            f"{path}: a column holds values of several types: {error}",
            remedy="copy the file into the mirror again; on the hub, every column has one type",
        ) from error


def _read_columns(path: Path) -> dict[str, list[Any]]:
    rows = [row for _, row in json_rows(path)]
    columns = dict.fromkeys(key for row in rows for key in row)
    return {column: [row.get(column) for row in rows] for column in columns}
