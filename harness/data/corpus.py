"""The corpus: documents generated, from files, from the hub or a mirror, or from Python's own text."""

import hashlib
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.core.exceptions import InputError
from harness.core.files import sha256_file
from harness.data.mirror import DataAccess, DatasetRef, redirected, split_file
from harness.data.text_files import missing_column, read_documents
from harness.suite.references import matching_files
from harness.suite.spec import CorpusSpec

SKIPPED_FOLDERS = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}


@dataclass(frozen=True)
class Documents:
    """`parts[i]` is what `texts[i]` belongs to: a capability, or the file or dataset that it came from."""

    texts: tuple[str, ...]
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """A document before the limits are applied. Its place in the seeded order depends on `identity` only."""

    identity: str
    part: str
    text: str


def load_documents(spec: CorpusSpec, suite_folder: Path, *, mirror: Path | None, offline: bool) -> Documents:
    """The corpus of `spec`, limited to `documents` and `max_bytes` in an order that `seed` decides.

    Raises InputError where a file, dataset or column is missing, or nothing is left.
    """
    if spec.kind == "generated":  # the generator applies count and seed
        candidates = _generated(spec)
    else:
        candidates = _limited_count(_candidates(spec, suite_folder, mirror, offline), spec)
    chosen = _limited_bytes(candidates, spec)
    if not chosen:
        raise InputError(f"the corpus ({spec.kind}) has no documents", remedy="check the suite's 'corpus'")
    return Documents(tuple(c.text for c in chosen), tuple(c.part for c in chosen))


def content_fingerprint(spec: CorpusSpec, suite_folder: Path, *, mirror: Path | None) -> str:
    """A text that changes when the documents do: a hash of the files, or the version of their generator."""
    if spec.kind == "generated":
        from harness.core.code_version import code_version

        return code_version("harness.data.micro.world")
    if spec.kind == "python":
        return sys.version
    mirrored = _mirror_file(spec, mirror)
    files = _files(spec, suite_folder) if spec.kind == "files" else [mirrored] if mirrored else []
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest() if files else f"hub {spec.dataset}"


def _candidates(spec: CorpusSpec, folder: Path, mirror: Path | None, offline: bool) -> Sequence[Document]:
    if spec.kind == "python":
        return _python()
    if spec.kind == "hub":
        return _hub(spec, mirror, offline)
    return [c for path in _files(spec, folder) for c in _of_file(path, spec.column, path.stem)]


def _generated(spec: CorpusSpec) -> list[Document]:
    from harness.data.micro.world import fusion_document_parts, fusion_documents

    texts = fusion_documents(spec.documents, spec.seed)
    parts = fusion_document_parts(spec.documents, spec.seed)
    return [Document(str(i), part, text) for i, (part, text) in enumerate(zip(parts, texts, strict=True))]


def _files(spec: CorpusSpec, folder: Path) -> list[Path]:
    """The files that match the patterns, each once, sorted. InputError lists all patterns without a file."""
    found = {pattern: matching_files(pattern, folder) for pattern in spec.files}
    missing = [pattern for pattern, files in found.items() if not files]
    if missing:
        raise InputError(
            f"corpus.files: no file matches {', '.join(missing)} in {folder} (the suite's) or {Path.cwd()}",
            remedy="give paths or globs of .jsonl, .txt or .parquet files with --set corpus.files=...",
        )
    return sorted({path for files in found.values() for path in files})


def _of_file(path: Path, column: str, part: str) -> list[Document]:
    return [Document(f"{path.name}:{i}", part, text) for i, text in enumerate(read_documents(path, column))]


def _hub(spec: CorpusSpec, mirror: Path | None, offline: bool) -> list[Document]:
    assert spec.dataset is not None  # checked with the suite
    mirrored = _mirror_file(spec, mirror)
    if mirrored is not None:
        return _of_file(mirrored, spec.column, spec.dataset)
    rows = _download(spec, mirror, offline)
    if spec.column not in rows.column_names:
        raise missing_column(f"dataset {spec.dataset}, split {spec.split}", spec.column, rows.column_names)
    texts: Iterable[str] = rows[spec.column]
    return [Document(str(i), spec.dataset, text) for i, text in enumerate(texts) if text.strip()]


def _mirror_file(spec: CorpusSpec, mirror: Path | None) -> Path | None:
    if mirror is None or spec.kind != "hub" or spec.dataset is None:
        return None
    path = split_file(DatasetRef(spec.dataset, spec.config).folder(mirror), spec.split)
    return path if path.is_file() else None


def _download(spec: CorpusSpec, mirror: Path | None, offline: bool) -> Any:
    """A `datasets.Dataset` from the hub or its local cache. Raises InputError where it has neither."""
    import datasets

    with redirected(DataAccess(mirror=mirror, offline=offline)):
        return datasets.load_dataset(spec.dataset, spec.config, split=spec.split)


@cache
def _python() -> tuple[Document, ...]:
    """Sources of the standard library (part "code") and the topics of `help()` (part "text")."""
    from pydoc_data import topics

    root = Path(sysconfig.get_path("stdlib"))
    found = []
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root)
        if SKIPPED_FOLDERS.isdisjoint(inside.parts) and inside.parts[0] != "pydoc_data":
            text = path.read_text(encoding="utf-8", errors="ignore")
            found.append(Document(inside.as_posix(), "code", text))
    found += [Document(f"topic {name}", "text", text) for name, text in sorted(topics.topics.items())]
    return tuple(c for c in found if c.text.strip())


def _limited_count(candidates: Sequence[Document], spec: CorpusSpec) -> list[Document]:
    """At most `documents`, in seeded order: a document's place depends only on seed and identity."""
    return sorted(candidates, key=lambda c: _place(c.identity, spec.seed))[: spec.documents]


def _place(identity: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{identity}".encode()).digest()


def _limited_bytes(candidates: Sequence[Document], spec: CorpusSpec) -> list[Document]:
    """The first documents that fit into `max_bytes`; the next is cut to fill it, as size predicts cost."""
    if spec.max_bytes is None:
        return list(candidates)
    chosen, left = [], spec.max_bytes
    for candidate in candidates:
        size = len(candidate.text.encode())
        if size > left:
            rest = _cut(candidate.text, left)
            chosen += [Document(candidate.identity, candidate.part, rest)] if rest.strip() else []
            break
        chosen.append(candidate)
        left -= size
    return chosen


def _cut(text: str, size: int) -> str:
    """At most `size` bytes of `text`: whole lines if there is a line end, else whole characters."""
    head = text.encode()[:size].decode(errors="ignore")
    return head[: head.rfind("\n") + 1] or head
