"""Few-shot examples that do not depend on the limit.

lm-eval's default sampler draws from one generator, document after document: where documents are left out, all
that follow get other examples than in a whole run. So the draws of the documents that are left out are made
too, and thrown away: the prompt of an item is the one that an unlimited run with the same seed gives it.
"""

from collections.abc import Sequence
from typing import Any


class ReplayedSampler:
    """Stands in for a task's sampler when only the documents at `chosen` (ascending indices) are asked.

    lm-eval asks once for each document, in order; `sampler` is a lm_eval.api.samplers.ContextSampler that may
    carry state from one draw to the next.
    """

    def __init__(self, sampler: Any, documents: Sequence[Any], chosen: Sequence[int]) -> None:
        self.sampler = sampler
        self._documents = documents
        self._chosen = chosen
        self._asked = iter(chosen)
        self._next = 0  # the first document that has not drawn

    def set_rnd(self, rnd: int | None) -> "ReplayedSampler":
        """Seed the generator and begin again with the first document."""
        self.sampler.set_rnd(rnd)
        self._asked, self._next = iter(self._chosen), 0
        return self

    def sample(self, n: int, eval_doc: Any = None, **others: Any) -> Any:
        """The examples of the next chosen document: after the draws of all documents before it.

        Args:
            n: how many.
            eval_doc: the document, where it may be among the examples; it must not be drawn then.
        """
        index = next(self._asked)
        for skipped in self._documents[self._next : index]:
            self.sampler.sample(n, eval_doc=None if eval_doc is None else skipped, **others)
        self._next = index + 1
        return self.sampler.sample(n, eval_doc=eval_doc, **others)


def draws_in_sequence(task: Any, fewshot: int) -> bool:
    """Whether a document's examples depend on the documents before it: not where the first n are taken."""
    from lm_eval.api.samplers import FirstNSampler

    sampler = getattr(task, "sampler", None)
    return fewshot > 0 and sampler is not None and not isinstance(sampler, FirstNSampler)


def replay_draws(task: Any, fewshot: int, documents: Sequence[Any], chosen: Sequence[int]) -> None:
    """Let a task that asks only the documents at `chosen` give them the examples of a whole run."""
    if draws_in_sequence(task, fewshot) and len(chosen) < len(documents):
        task.sampler = ReplayedSampler(task.sampler, documents, chosen)
