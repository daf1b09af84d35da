"""Fills a mirror with datasets from the hub, row by row."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.core.exceptions import InputError, first_line
from harness.core.files import make_folder, unusable
from harness.data.mirror import DatasetRef, split_file

SplitRows = Iterable[Mapping[str, Any]]
_PARQUET = "refs/convert/parquet"  # the hub's conversion of loading scripts: <config>/<split>/*.parquet


def fetch_from_hub(ref: DatasetRef) -> Mapping[str, SplitRows]:
    """Every split of a dataset; for a loading script, which is no longer run, the hub's Parquet conversion.

    Raises whatever the hub's client raises.
    """
    import datasets

    try:
        splits: Mapping[str, SplitRows] = datasets.load_dataset(ref.path, ref.name)
    except RuntimeError as error:
        if "scripts are no longer supported" not in str(error):
            raise
        splits = datasets.load_dataset(ref.path, data_dir=ref.name or "default", revision=_PARQUET)
    return splits


def write_dataset(folder: Path, splits: Mapping[str, SplitRows]) -> None:
    """Write every split of one dataset, all or none.

    Nested values, None and text of any language read back equal.

    Raises:
        InputError: a column that JSON cannot hold, or a folder that cannot be written.
        StoreError: no space left.
    """
    make_folder(folder.parent)
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        aside.mkdir()
        for split, rows in splits.items():
            _write_rows(split_file(aside, split), rows)
        _move_into_place(aside, folder)
    except OSError as error:
        raise unusable(folder, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write_rows(path: Path, rows: SplitRows) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(_line(row) + "\n")


def _line(row: Mapping[str, Any]) -> str:
    try:
        return json.dumps(row, ensure_ascii=False)
    except TypeError:
        column, kind = _unwritable(row)
        raise InputError(
            f"column {column!r} holds {kind}, which JSON cannot represent",
            remedy="fetch this dataset into the hub's cache: `prepare` without --mirror",
        ) from None


def _unwritable(row: Mapping[str, Any]) -> tuple[str, str]:
    """The first column with a value that JSON cannot represent, and that value's type."""
    kinds: list[str] = []

    def note(value: Any) -> None:
        kinds.append(type(value).__name__)

    for column, value in row.items():
        json.dumps(value, default=note)
        if kinds:
            return column, kinds[0]
    raise AssertionError("called for a row that JSON can represent")


def _move_into_place(aside: Path, folder: Path) -> None:
    """Rename the folder; if it exists (with other configurations), move the files into it."""
    if not folder.exists():
        aside.replace(folder)
        return
    for file in sorted(aside.iterdir()):
        file.replace(folder / file.name)


def fill_mirror(mirror: Path, missing: Iterable[DatasetRef]) -> tuple[list[str], list[str]]:
    """Write the missing datasets into the mirror, which is made if necessary; each dataset all or nothing.

    Returns what was written and what failed, as sentences; a failure does not stop the others.
    Raises StoreError where there is no space left.
    """
    make_folder(mirror)
    written, problems = [], []
    for ref in missing:
        folder = ref.folder(mirror)
        try:
            splits = fetch_from_hub(ref)
        except Exception as error:  # the hub's client raises many kinds
            problems.append(f"dataset {ref} cannot be fetched from the hub: {first_line(error)}")
            continue
        try:
            write_dataset(folder, splits)
            written.append(f"dataset {ref}: written to {folder}")
        except InputError as error:
            problems.append(f"dataset {ref} cannot be written: {error.message}; {error.remedy}")
    return written, problems
