"""The stage store: `<root>/<stage>/<key>/`, each a finished folder with a manifest of checksums.

A stage's output is written to a temporary folder beside its final place and renamed in one step, so a folder
with a manifest is complete. A file lock lets one process write a key at a time; another that needs the same
key waits and then reuses the result. Checksums are verified the first time a process opens an entry.
"""

import json
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness.core.exceptions import StoreError
from harness.core.files import NO_ROOM, make_folder, sha256_file, unusable

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Entry:
    """A finished stage output."""

    folder: Path
    stage: str
    key: str
    seconds: float
    facts: dict[str, Any]
    bytes: int


@dataclass
class Draft:
    """A stage output being written: files go into `folder`, counted facts into `facts`.

    `scratch` (for a training's checkpoints) outlives a killed attempt and is removed when the stage is done.
    """

    folder: Path
    scratch: Path
    facts: dict[str, Any] = field(default_factory=dict)


class Store:
    """Finished stage outputs under one root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._verified: set[Path] = set()

    def folder(self, stage: str, key: str) -> Path:
        """Where the entry is or will be. Colons in stage names (`training:fused`) become folders."""
        return self.root.joinpath(*stage.split(":"), key)

    def has(self, stage: str, key: str) -> bool:
        """Whether the entry exists; `open` verifies its checksums."""
        try:
            return (self.folder(stage, key) / MANIFEST).is_file()
        except PermissionError:  # writing there will raise an error that says so
            return False

    def open(self, stage: str, key: str) -> Entry:
        """The entry, verified. Raises StoreError if it is missing or was altered."""
        folder = self.folder(stage, key)
        manifest = _read_manifest(folder)
        if folder not in self._verified:
            _verify(folder, manifest)
            self._verified.add(folder)
        size = sum(f["bytes"] for f in manifest["files"].values())
        return Entry(folder, manifest["stage"], manifest["key"], manifest["seconds"], manifest["facts"], size)

    @contextmanager
    def lock(self, stage: str, key: str, *, timeout: float = -1) -> Iterator[None]:
        """Hold the lock for writing one key; waits while another process holds it.

        Raises StoreError after `timeout` seconds (negative: never), InputError if the store is not writable.
        """
        path = self.root / "locks" / f"{stage.replace(':', '.')}.{key}.lock"
        make_folder(path.parent)
        try:
            held = FileLock(path, timeout=timeout).acquire()
        except Timeout as error:
            raise StoreError(
                f"another process is computing stage {stage} ({key})",
                remedy="wait for it to finish, or give this run another --results folder",
            ) from error
        except OSError as error:
            raise unusable(path.parent, error) from error
        with held:
            yield

    @contextmanager
    def write(self, stage: str, key: str, description: dict[str, Any]) -> Iterator[Draft]:
        """Write an entry to a temporary folder; rename it into place if the block ends without an error."""
        place = self.folder(stage, key)
        make_folder(place.parent)
        _sweep(place)
        scratch = self.root / "scratch" / f"{stage.replace(':', '.')}.{key}"
        draft = Draft(place.with_name(f"{key}.part-{uuid.uuid4().hex[:8]}"), scratch)
        make_folder(draft.folder)
        started = time.monotonic()
        try:
            yield draft
            _finish(draft, place, stage, key, description, time.monotonic() - started)
            shutil.rmtree(scratch, ignore_errors=True)
        except OSError as error:
            raise explain_os_error(error, stage, self.root) from error
        finally:
            shutil.rmtree(draft.folder, ignore_errors=True)
        self._verified.add(place)  # this process has just written and hashed it


def explain_os_error(error: OSError, stage: str, root: Path) -> Exception:
    """A StoreError with the remedy for a full disk or quota; any other error unchanged."""
    if error.errno not in NO_ROOM:
        return error
    return StoreError(
        f"no space left while writing stage {stage} in {root}",
        remedy="free space or choose another --results folder, then run again: finished stages are reused",
    )


def _sweep(place: Path) -> None:
    """Remove what a killed writer of this key left behind (the caller holds the key's lock)."""
    for stale in place.parent.glob(f"{place.name}.part-*"):
        shutil.rmtree(stale, ignore_errors=True)


def _finish(
    draft: Draft, place: Path, stage: str, key: str, description: dict[str, Any], seconds: float
) -> None:
    manifest = {
        "stage": stage,
        "key": key,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(seconds, 3),
        "facts": draft.facts,
        **description,
        "files": {str(p.relative_to(draft.folder)): _describe(p) for p in _files(draft.folder)},
    }
    (draft.folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True, default=str))
    if place.exists():  # a damaged entry that is being computed again
        shutil.rmtree(place)
    draft.folder.replace(place)


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)


def _describe(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256_file(path)}


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        return loaded
    except FileNotFoundError as error:
        raise StoreError(f"no finished stage at {folder}", remedy="run the suite to compute it") from error
    except ValueError as error:
        raise _damaged(folder, MANIFEST) from error


def _verify(folder: Path, manifest: dict[str, Any]) -> None:
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.is_file() or _describe(path) != expected:
            raise _damaged(folder, name)


def _damaged(folder: Path, name: str) -> StoreError:
    return StoreError(
        f"corrupted file in the store: {folder / name} does not match its manifest",
        remedy=f"delete the folder {folder} and run again: only that stage and those after it are repeated",
    )
