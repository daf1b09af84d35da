"""Sampling of documents under a benchmark's limit, and few-shot examples that do not depend on it.

The first documents of a file are not a random sample, because datasets are often sorted by topic or
difficulty. Here documents are ordered by a hash with the seed. A larger limit therefore contains all items of
a smaller one, and the order in the file does not matter.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from harness.scoring.samples import doc_hash


def chosen(task: str, documents: Sequence[Any], limit: int | None, seed: int) -> Sequence[int]:
    """Indices, ascending, of the documents that are scored.

    Without a limit these are all; else the `limit` documents with the smallest SHA-256 of seed, task name and
    document hash. A repeated document has the same hash and comes after its first occurrence, so ids
    (`item_ids`) do not depend on the limit.
    """
    if limit is None or limit >= len(documents):
        return range(len(documents))
    places = [_place(task, doc_hash(document), seed) for document in documents]
    return sorted(sorted(range(len(documents)), key=places.__getitem__)[:limit])


def _place(task: str, digest: str, seed: int) -> bytes:
    return sha256(f"{seed}\0{task}\0{digest}".encode()).digest()


class ReplayedSampler:
    """Replaces a task's few-shot sampler when only the documents at `chosen` (ascending) are scored.

    lm-eval asks once for each document, in order; `sampler` is a lm_eval.api.samplers.ContextSampler that may
    carry state from one draw to the next.
    """

    def __init__(self, sampler: Any, documents: Sequence[Any], chosen: Sequence[int]) -> None:
        self.sampler = sampler
        self._documents = documents
        self._chosen = chosen
        self._asked = iter(chosen)
        self._next = 0  # index of the first document without a draw

    def set_rnd(self, rnd: int | None) -> "ReplayedSampler":
        """Seed the generator and restart at the first document."""
        self.sampler.set_rnd(rnd)
        self._asked, self._next = iter(self._chosen), 0
        return self

    def sample(self, n: int, eval_doc: Any = None, **others: Any) -> Any:
        """Few-shot examples of the next chosen document, after the draws of all documents before it.

        Args:
            n: number of examples.
            eval_doc: the document itself, where it may be among the examples and must not be drawn.
        """
        index = next(self._asked)
        for skipped in self._documents[self._next : index]:
            self.sampler.sample(n, eval_doc=None if eval_doc is None else skipped, **others)
        self._next = index + 1
        return self.sampler.sample(n, eval_doc=eval_doc, **others)


def draws_in_sequence(task: Any, fewshot: int) -> bool:
    """Whether a document's few-shot examples depend on the documents before it (false for `first_n`)."""
    from lm_eval.api.samplers import FirstNSampler

    sampler = getattr(task, "sampler", None)
    return fewshot > 0 and sampler is not None and not isinstance(sampler, FirstNSampler)


def replay_draws(task: Any, fewshot: int, documents: Sequence[Any], chosen: Sequence[int]) -> None:
    """Make a task that scores only the documents at `chosen` draw their examples as in an unlimited run."""
    if draws_in_sequence(task, fewshot) and len(chosen) < len(documents):
        task.sampler = ReplayedSampler(task.sampler, documents, chosen)
