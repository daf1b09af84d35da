"""Journal of responses: one model's answers to one benchmark, on disk as they come, to resume a killed run.

A journal is a folder of parquet files `answers-000001.parquet`, ..., each written to a temporary file and
then renamed. Columns: request (hex SHA-256 of kind and arguments), item (the document's id without the suffix
of a repeated document, or null), kind (`loglikelihood`, `loglikelihood_rolling`, `generate_until`),
loglikelihood (float64, nats, or null), greedy (bool or null), text (or null). A folder is for one model and
one configuration of tasks, data, few-shot examples and seed, because the key of a request contains only its
text.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any

from fusion.progress import OnProgress
from harness.core.files import write_atomically
from harness.scoring.samples import doc_hash, item_ids

PART = "answers-{:06d}.parquet"


@dataclass(frozen=True)
class Response:
    """One request's key and the model's response to it."""

    request: str
    kind: str
    item: str | None = None
    loglikelihood: float | None = None  # nats; of loglikelihood and loglikelihood_rolling
    greedy: bool | None = None  # of loglikelihood: whether every token is the most likely one
    text: str | None = None  # of generate_until

    @property
    def result(self) -> Any:
        """The response in the form that an lm-eval model returns."""
        match self.kind:
            case "loglikelihood":
                return self.loglikelihood, self.greedy
            case "loglikelihood_rolling":
                return self.loglikelihood
            case _:
                return self.text


def request_key(kind: str, arguments: Sequence[Any]) -> str | None:
    """Key of a request; None for requests that are never stored in a journal.

    These are sampled generations, whose response may differ each time, and requests with images or audio.
    """
    if kind == "generate_until" and _is_sampled(arguments[1]):
        return None
    try:
        return sha256(json.dumps([kind, *arguments], sort_keys=True).encode()).hexdigest()
    except TypeError:
        return None


def _is_sampled(gen_kwargs: Any) -> bool:
    """Whether the request is sampled; as in lm-eval, a temperature alone means sampling."""
    asked = gen_kwargs.get("do_sample")
    return bool(gen_kwargs.get("temperature") if asked is None else asked)


def response_to(request: str, kind: str, item: str | None, result: Any) -> Response | None:
    """A model's return value as a response; None if there is none (a failed server)."""
    if result is None:
        return None
    match kind:
        case "loglikelihood":
            return Response(request, kind, item, float(result[0]), bool(result[1]))
        case "loglikelihood_rolling":
            return Response(request, kind, item, float(result))
        case _:
            return Response(request, kind, item, text=str(result))


class Journal:
    """Responses by request key: those already on disk and those being added.

    Args:
        folder: where the parts are; None keeps them in memory alone.
        answers, seconds: a part is written after so many of them, whichever is first.
    """

    def __init__(self, folder: Path | None, *, answers: int = 1000, seconds: float = 10.0) -> None:
        self._folder, self._answers, self._seconds = folder, answers, seconds
        self._responses = {r.request: r for path in _parts(folder) for r in _read_part(path)}
        self.inherited = frozenset(self._responses)
        self._number = max((int(path.stem.rpartition("-")[2]) for path in _parts(folder)), default=0)
        self._unwritten: list[Response] = []
        self._written = time.monotonic()

    def get(self, request: str | int) -> Response | None:
        """The stored response to a request, or None; requests without a key (numbers) are never stored."""
        return self._responses.get(str(request))

    def add(self, response: Response) -> None:
        """Add a response. Raises StoreError if it cannot be written."""
        self._responses[response.request] = response
        if self._folder is None:
            return
        self._unwritten.append(response)
        if len(self._unwritten) >= self._answers or time.monotonic() - self._written >= self._seconds:
            self.flush()

    def flush(self) -> None:
        """Write pending responses to a new file."""
        if self._folder is not None and self._unwritten:
            self._number += 1
            _write_part(self._folder / PART.format(self._number), self._unwritten)
            self._unwritten = []
        self._written = time.monotonic()


def _parts(folder: Path | None) -> list[Path]:
    return [] if folder is None else sorted(folder.glob("answers-*.parquet"))


def _write_part(path: Path, responses: Sequence[Response]) -> None:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    table = arrow.Table.from_pylist([asdict(response) for response in responses], schema=_schema())

    def write(aside: Path) -> None:
        parquet.write_table(table, aside, compression="zstd", write_page_checksum=True)

    write_atomically(path, write)


def _read_part(path: Path) -> list[Response]:
    """The responses of one file; none from a damaged file, so that its requests are repeated."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    try:
        table = parquet.ParquetFile(path, page_checksum_verification=True).read()
        known = table.schema.equals(_schema())
    except (arrow.ArrowException, OSError, ValueError):  # ValueError: column names that are not UTF-8
        return []
    return [Response(**row) for row in table.to_pylist()] if known else []


def _schema() -> Any:
    import pyarrow as arrow

    texts = {name: arrow.string() for name in ("request", "kind", "item", "text")}
    types = {**texts, "loglikelihood": arrow.float64(), "greedy": arrow.bool_()}
    return arrow.schema([(name, types[name]) for name in Response.__dataclass_fields__])


RequestId = str | int  # a request's key; for requests without one, the index in their call


class JournaledLM:
    """Wraps an lm_eval.api.model.LM of any class: answers from the journal, and repeated requests once.

    lm-eval's model classes tell a hook of each answer as it comes. Within the `with` block that hook is this
    object; what a class does not tell is written down when its call returns.

    Attributes:
        lm: the model itself.
        computed: answers that the model gave.
        reused: answers that an earlier attempt had left in the journal.
    """

    def __init__(self, lm: Any, journal: Journal, report: OnProgress | None = None) -> None:
        from lm_eval.api.model import LM

        LM.register(JournaledLM)  # lm-eval accepts only instances of its own base class
        self.lm = lm
        self.computed = 0
        self._journal = journal
        self._report = report
        self._seen: set[str] = set()
        self._waiting: dict[RequestId, Any] = {}  # lm_eval.api.instance.Instance without a response yet
        self._done = self._total = 0

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
        """lm-eval's cache hook. Ignores unknown requests, since some classes report modified arguments."""
        if key := request_key(kind, arguments):
            self._keep(key, kind, result)

    def _answer(self, kind: str, requests: Sequence[Any], settings: Mapping[str, Any]) -> list[Any]:
        slots: list[RequestId] = [request_key(kind, r.args) or i for i, r in enumerate(requests)]
        known = {slot: response.result for slot in slots if (response := self._journal.get(slot))}
        asked = {slot: request for slot, request in zip(slots, requests, strict=True) if slot not in known}
        self._begin(slots, asked)
        given = getattr(self.lm, kind)(list(asked.values()), **settings) if asked else []
        fresh = dict(zip(asked, given, strict=True))
        for slot, result in fresh.items():
            self._keep(slot, kind, result)
        return [fresh[slot] if slot in fresh else known[slot] for slot in slots]

    def _begin(self, slots: Sequence[RequestId], asked: Mapping[RequestId, Any]) -> None:
        distinct = set(slots)
        self._seen |= {slot for slot in distinct if isinstance(slot, str)}
        self._total += len(distinct)
        self._waiting = dict(asked)
        self._advance(len(distinct) - len(asked))

    def _keep(self, slot: RequestId, kind: str, result: Any) -> None:
        request = self._waiting.pop(slot, None)
        if request is None:  # already stored, or never requested
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
    """The id of the request's document, if it is known."""
    return item_ids([(request.task_name, doc_hash(request.doc))])[0] if request.doc else None
