"""Files that are either whole or absent: written aside in the same folder, then moved into place."""

import os
from collections.abc import Callable
from pathlib import Path

from harness.errors import StoreError


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary neighbour of `path`, then move it there; else `path` stays as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(aside)
        aside.replace(path)
    except OSError as error:
        raise StoreError(
            f"could not write {path}: {error.strerror or error}", remedy="free space or check the permissions"
        ) from error
    finally:
        aside.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    def write(aside: Path) -> None:
        aside.write_bytes(text.encode())

    write_atomically(path, write)
