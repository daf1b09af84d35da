"""Writing files atomically (a temporary file beside them, then a rename), making folders, checksums."""

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from harness.core.exceptions import FuseGaugeError, InputError, StoreError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents. Raises StoreError on a full disk, InputError on any other failure."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(folder, error) from error


def unusable(folder: Path, error: OSError) -> FuseGaugeError:
    """The error that says why `folder` cannot be written to."""
    reason = error.strerror or str(error)
    if error.errno in NO_ROOM:
        return StoreError(f"cannot write to the folder {folder}: {reason}", remedy="free space")
    return InputError(
        f"cannot write to the folder {folder}: {reason}",
        remedy="choose a folder that can be written to (another --results) or change its permissions",
    )


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it; on an error `path` is unchanged.

    Raises StoreError where the file cannot be written.
    """
    make_folder(path.parent)
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


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's content, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
