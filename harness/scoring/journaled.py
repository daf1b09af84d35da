"""A model that is asked only what its journal does not hold, and whose responses are written as they come."""

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from harness.scoring.journal import Journal, request_key, response_to
from harness.scoring.samples import doc_hash, item_ids

Report = Callable[[int, int], None]  # (answers done, answers to do among the requests known so far)
Slot = str | int  # a request's key; a number in its call for one that is in no journal


class JournaledLM:
    """Stands before an lm_eval.api.model.LM of any class; equal requests are asked once.

    lm-eval's model classes tell a hook of each answer as it comes. Within the `with` block that hook is this
    object; what a class does not tell is written down when its call returns.

    Attributes:
        lm: the model itself.
        computed: answers that the model gave.
        reused: answers that an earlier attempt had left in the journal.
    """

    def __init__(self, lm: Any, journal: Journal, report: Report | None = None) -> None:
        self.lm = lm
        self.computed = 0
        self._journal = journal
        self._report = report
        self._seen: set[str] = set()
        self._waiting: dict[Slot, Any] = {}  # lm_eval.api.instance.Instance that the model is working on
        self._done = self._total = 0

    @property  # type: ignore[misc]  # lm-eval takes nothing but an instance of its own base class
    def __class__(self) -> Any:
        return type(self.lm)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.lm, name)

    def __enter__(self) -> "JournaledLM":
        self._hook = self.lm.cache_hook
        self.lm.set_cache_hook(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lm.set_cache_hook(self._hook)
        self._journal.flush()

    @property
    def reused(self) -> int:
        return len(self._seen & self._journal.inherited)

    def loglikelihood(self, requests: Sequence[Any], **settings: Any) -> list[Any]:
        return self._answer("loglikelihood", requests, settings)

    def loglikelihood_rolling(self, requests: Sequence[Any], **settings: Any) -> list[Any]:
        return self._answer("loglikelihood_rolling", requests, settings)

    def generate_until(self, requests: Sequence[Any], **settings: Any) -> list[Any]:
        return self._answer("generate_until", requests, settings)

    def add_partial(self, kind: str, arguments: Sequence[Any], result: Any) -> None:
        """lm-eval's hook. Only what was asked is kept: some classes tell of arguments they have changed."""
        if key := request_key(kind, arguments):
            self._keep(key, kind, result)

    def _answer(self, kind: str, requests: Sequence[Any], settings: Mapping[str, Any]) -> list[Any]:
        slots: list[Slot] = [request_key(kind, r.args) or i for i, r in enumerate(requests)]
        known = {slot: response.result for slot in slots if (response := self._journal.get(slot))}
        asked = {slot: request for slot, request in zip(slots, requests, strict=True) if slot not in known}
        self._begin(slots, asked)
        given = getattr(self.lm, kind)(list(asked.values()), **settings) if asked else []
        fresh = dict(zip(asked, given, strict=True))
        for slot, result in fresh.items():
            self._keep(slot, kind, result)
        return [fresh[slot] if slot in fresh else known[slot] for slot in slots]

    def _begin(self, slots: Sequence[Slot], asked: Mapping[Slot, Any]) -> None:
        distinct = set(slots)
        self._seen |= {slot for slot in distinct if isinstance(slot, str)}
        self._total += len(distinct)
        self._waiting = dict(asked)
        self._advance(len(distinct) - len(asked))

    def _keep(self, slot: Slot, kind: str, result: Any) -> None:
        request = self._waiting.pop(slot, None)
        if request is None:  # kept before, or never asked
            return
        if isinstance(slot, str) and (response := response_to(slot, kind, _item(request), result)):
            self._journal.add(response)
        self.computed += 1
        self._advance(1)

    def _advance(self, answers: int) -> None:
        self._done += answers
        if self._report:
            self._report(self._done, self._total)


def _item(request: Any) -> str | None:
    """The id of the document that a request is about, where it says so."""
    return item_ids([(request.task_name, doc_hash(request.doc))])[0] if request.doc else None
