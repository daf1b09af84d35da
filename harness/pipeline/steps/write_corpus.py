"""The stage `corpus`: the documents and the part each belongs to."""

import json
from collections.abc import Iterable
from pathlib import Path

from harness.pipeline.stage import Context
from harness.pipeline.store import Draft
from harness.suite.spec import CorpusSpec


def corpus_fingerprint(spec: CorpusSpec, folder: Path, mirror: Path | None) -> str:
    """A fingerprint of the data that the corpus is made from, if possible without reading all of it."""
    from harness.data.corpus import content_fingerprint

    return content_fingerprint(spec, folder, mirror=mirror)


def write_corpus(
    draft: Draft, context: Context, *, spec: CorpusSpec, folder: Path, mirror: Path | None, offline: bool
) -> None:
    """Write the documents and the part each belongs to."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from harness.data.corpus import load_documents

    context.report("reading documents", 0, 1)
    documents = load_documents(spec, folder, mirror=mirror, offline=offline)
    table = pa.table({"text": list(documents.texts), "part": list(documents.parts)})
    pq.write_table(table, draft.folder / "documents.parquet")
    draft.facts |= {
        "documents": len(documents.texts),
        "bytes": sum(len(t.encode()) for t in documents.texts),
        "fingerprint": _documents_fingerprint(zip(documents.parts, documents.texts, strict=True)),
    }


def _documents_fingerprint(documents: Iterable[tuple[str, str]]) -> str:
    """Hash of parts and texts in order, wherever they came from."""
    import hashlib

    digest = hashlib.sha256()
    for document in documents:
        digest.update(json.dumps(document, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()
