"""Which documents of a task are scored when a benchmark limits them.

The first so many of a file are no sample: data sets are often sorted by topic or difficulty. Every document
has a place of its own in a seeded order, so a larger limit holds all items of a smaller one, and the file's
order does not matter.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from harness.scoring.samples import doc_hash


def chosen(task: str, documents: Sequence[Any], limit: int | None, seed: int) -> Sequence[int]:
    """Indices, ascending, of the documents that are scored: all without a limit, else the `limit` documents
    whose SHA-256 over seed, task name and document hash is smallest.

    A document that occurs again has the same hash and comes after its first occurrence, so that ids
    (`item_ids`) do not depend on the limit.
    """
    if limit is None or limit >= len(documents):
        return range(len(documents))
    places = [_place(task, doc_hash(document), seed) for document in documents]
    return sorted(sorted(range(len(documents)), key=places.__getitem__)[:limit])


def _place(task: str, digest: str, seed: int) -> bytes:
    return sha256(f"{seed}\0{task}\0{digest}".encode()).digest()
