"""Readers for the text files of a corpus: .jsonl, .txt, .parquet."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.core.exceptions import InputError, nearest


def read_documents(path: Path, column: str) -> list[str]:
    """The non-empty documents of one file; `column` names the text in .jsonl and .parquet."""
    if path.suffix not in READERS:
        raise InputError(
            f"{path}: no reader for {path.suffix or 'a file without suffix'}{nearest(path.suffix, READERS)}",
            remedy=f"convert it to one of {', '.join(READERS)}",
        )
    try:
        return [text for text in READERS[path.suffix](path, column) if text.strip()]
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error}", remedy="convert the file to UTF-8") from error


def json_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row) for every line of a .jsonl file that is not empty. InputError for what is no object."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                where = f"{path}, line {number}"
                yield where, _row(where, line)


def _row(where: str, line: str) -> dict[str, Any]:
    remedy = "write one object a line; copy a file of a mirror there again"
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not JSON: {error}", remedy=remedy) from error
    if not isinstance(row, dict):
        raise InputError(f"{where}: {type(row).__name__} where an object is expected", remedy=remedy)
    return row


def _jsonl(path: Path, column: str) -> Iterator[str]:
    return (_text(row, column, where) for where, row in json_rows(path))


def _text(row: dict[str, object], column: str, where: str) -> str:
    value = row.get(column)
    if isinstance(value, str):
        return value
    if column in row:
        raise InputError(f"{where}: column {column!r} holds {type(value).__name__}, not text")
    raise missing_column(where, column, list(row))


def missing_column(where: str, column: str, there: list[str]) -> InputError:
    return InputError(
        f"{where}: no column {column!r}{nearest(column, there)}; there are {', '.join(there) or 'none'}",
        remedy="name the text's column with corpus.column",
    )


def _txt(path: Path, _: str) -> Iterator[str]:
    yield path.read_text(encoding="utf-8")


def _parquet(path: Path, column: str) -> Iterator[str]:
    import pyarrow.parquet as pq

    there = pq.read_schema(path).names
    if column not in there:
        raise missing_column(str(path), column, there)
    for row in pq.read_table(path, columns=[column]).to_pylist():
        yield _text(row, column, str(path))


READERS: dict[str, Callable[[Path, str], Iterator[str]]] = {
    ".jsonl": _jsonl,
    ".txt": _txt,
    ".parquet": _parquet,
}
