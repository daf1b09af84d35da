"""The responses of one model to one benchmark's requests, on disk as they come: a killed run goes on from it.

A journal is a folder of parquet files `answers-000001.parquet`, ..., each written aside and moved into place.
Columns: request (hex SHA-256 over kind and arguments), item (the document's id without the number of a
repetition, or null), kind (`loglikelihood`, `loglikelihood_rolling`, `generate_until`), loglikelihood
(float64, nats, or null), greedy (bool or null), text (or null). The folder belongs to one model, one
configuration of tasks, data, few-shot and seed: nothing of these is in the key of a request but its text.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from harness.atomic import write_atomically

PART = "answers-{:06d}.parquet"


@dataclass(frozen=True)
class Response:
    """What a model gave to one request, and which request that was."""

    request: str
    kind: str
    item: str | None = None
    loglikelihood: float | None = None  # nats; of loglikelihood and loglikelihood_rolling
    greedy: bool | None = None  # of loglikelihood: whether each token is the likeliest
    text: str | None = None  # of generate_until

    @property
    def result(self) -> Any:
        """In the form in which an lm-eval model returns it."""
        match self.kind:
            case "loglikelihood":
                return self.loglikelihood, self.greedy
            case "loglikelihood_rolling":
                return self.loglikelihood
            case _:
                return self.text


def request_key(kind: str, arguments: Sequence[Any]) -> str | None:
    """The key of a request; None where a second asking may be answered otherwise, or its arguments (pictures,
    sounds) are no text: such requests are not in any journal.
    """
    if kind == "generate_until" and _is_sampled(arguments[1]):
        return None
    try:
        return sha256(json.dumps([kind, *arguments], sort_keys=True).encode()).hexdigest()
    except TypeError:
        return None


def _is_sampled(gen_kwargs: Any) -> bool:
    """As lm-eval reads it: a temperature alone already means sampling."""
    asked = gen_kwargs.get("do_sample")
    return bool(gen_kwargs.get("temperature") if asked is None else asked)


def response_to(request: str, kind: str, item: str | None, result: Any) -> Response | None:
    """What a model returned, as a response; None where it gave nothing (a server that failed)."""
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
    """Responses by request key: those that a folder holds, and those that are added.

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
        """The response to a request; None for one that is not here (a number never is: see `request_key`)."""
        return self._responses.get(str(request))

    def add(self, response: Response) -> None:
        """Keep a response. Raises StoreError where the disk does not take it."""
        self._responses[response.request] = response
        if self._folder is None:
            return
        self._unwritten.append(response)
        if len(self._unwritten) >= self._answers or time.monotonic() - self._written >= self._seconds:
            self.flush()

    def flush(self) -> None:
        """Write what is not on disk yet as one more part."""
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
    """Nothing from a part that is damaged: its requests are asked again."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    try:
        table = parquet.ParquetFile(path, page_checksum_verification=True).read()
        known = table.schema.equals(_schema())
    except (arrow.ArrowException, OSError, ValueError):  # ValueError: column names that are no UTF-8
        return []
    return [Response(**row) for row in table.to_pylist()] if known else []


def _schema() -> Any:
    import pyarrow as arrow

    texts = {name: arrow.string() for name in ("request", "kind", "item", "text")}
    types = {**texts, "loglikelihood": arrow.float64(), "greedy": arrow.bool_()}
    return arrow.schema([(name, types[name]) for name in Response.__dataclass_fields__])
