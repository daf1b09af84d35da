"""Fingerprint of a benchmark: a hash of all that its items depend on besides the model.

It is part of the cache keys of stages: a change of the data, task, template, few-shot examples, limit or seed
changes the hash, so no outdated result is reused. The hash does not depend on whether the data came from the
mirror or the hub, nor on the folder of the checkout.
"""

import functools
import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness.core.files import sha256_file
from harness.scoring.availability import program_parts
from harness.scoring.limit import chosen, draws_in_sequence
from harness.scoring.options import ScoringOptions
from harness.scoring.tasks import effective_fewshot, executes_code, inspect_tasks
from harness.suite.spec import BenchmarkSpec

_PLACES = frozenset({"config_source"})  # where a configuration was read from


def task_fingerprint(benchmark: BenchmarkSpec, options: ScoringOptions) -> str:
    """Hash of tasks' configuration (functions by their source file), documents, few-shot examples and seed.

    Model, device, dtype and batch size are excluded, because they do not change the requests.

    Raises:
        InputError: unknown task, or a dataset that cannot be read.
    """
    tasks = inspect_tasks(benchmark, options)
    parts = {
        "lm_eval": version("lm_eval"),
        "seed": options.seed,
        "bits_per_byte": options.bits_per_byte,
        "benchmark": benchmark.model_dump(mode="json", exclude={"name", "metrics", "tasks"}),
        "tasks": {name: _task_parts(name, benchmark, task, options) for name, task in tasks.items()},
    }
    return _digest(parts)


def _task_parts(name: str, benchmark: BenchmarkSpec, task: Any, options: ScoringOptions) -> dict[str, Any]:
    fewshot = effective_fewshot(benchmark, task)
    examples = getattr(getattr(task, "sampler", None), "df", None) or ()
    return {
        "config": described(asdict(task.config)),
        "class": described(type(task)),
        "fewshot": fewshot,
        "execution": _executes(options) if executes_code(benchmark, task) else "",
        "program": program_parts(task),
        "documents": documents_hash(_deciding(name, benchmark, task, options)),
        "examples": documents_hash(examples) if fewshot else "",
    }


def _executes(options: ScoringOptions) -> str:
    """Whether programs are run; the kind of sandbox does not change the verdict on a well-behaved program."""
    return "refused" if options.execution == "refused" else "run"


def _deciding(name: str, benchmark: BenchmarkSpec, task: Any, options: ScoringOptions) -> list[Any]:
    """Documents that the requests depend on: the scored ones; all of them where few-shot examples are drawn
    for one document after the other."""
    documents = list(task.eval_docs)
    if draws_in_sequence(task, effective_fewshot(benchmark, task)):
        return documents
    return [documents[i] for i in chosen(name, documents, benchmark.limit, options.seed)]


def documents_hash(documents: Iterable[Any]) -> str:
    digest = sha256()
    for document in documents:
        digest.update(json.dumps(document, default=str, sort_keys=True, ensure_ascii=False).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def described(value: Any) -> Any:
    """A configuration as JSON, with hashes of source code in place of functions."""
    if isinstance(value, Mapping):
        return {str(k): described(v) for k, v in value.items() if k not in _PLACES}
    if isinstance(value, list | tuple | set | frozenset):
        return [described(v) for v in value]
    if isinstance(value, functools.partial):
        return [described(value.func), described(value.args), described(value.keywords)]
    return _code_of(value) if callable(value) else value


def _code_of(function: Any) -> str:
    """A function's name and the hash of the whole file that defines it, so that its helpers count too."""
    named = function if hasattr(function, "__qualname__") else type(function)
    try:
        path = Path(inspect.getfile(inspect.unwrap(named)))
        source = sha256_file(path)
    except (TypeError, OSError):  # built in, or created at run time
        source = ""
    return f"{named.__qualname__}:{source}"


def _digest(parts: Mapping[str, Any]) -> str:
    return sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
