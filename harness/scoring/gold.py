"""Gold continuations of documents, their log-likelihood and bits per byte.

    bits per byte = -log p(gold | prompt) / (ln 2 * UTF-8 bytes of the scored text)

The scored text is the continuation with its leading delimiter, plus white space at the end of the prompt,
which lm-eval moves to the continuation before it tokenises. Bytes do not depend on the tokenizer, so models
with different tokenizers can be compared.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import log
from typing import Any

from harness.core.environment import replaced
from harness.suite.spec import BenchmarkSpec

LOGITS_AT_ONCE = 1 << 28  # numbers; 1 GB in float32


@dataclass(frozen=True)
class Gold:
    """Gold answer of a document: `text` for display, `continuation` as it follows `context` in the prompt.

    `loglikelihood` (nats) is set where the task itself requested it for this continuation.
    """

    text: str
    context: str
    continuation: str
    loglikelihood: float | None = None


def scored_bytes(gold: Gold) -> int:
    moved = gold.context[len(gold.context.rstrip()) :]
    return len((moved + gold.continuation).encode())


def bits_per_byte(gold: Gold, loglikelihood: float | None) -> float | None:
    """Bits per byte of a gold continuation; None where nothing was scored."""
    size = scored_bytes(gold)
    return None if loglikelihood is None or not size else -loglikelihood / (log(2) * size)


def template_gold(task: Any, template: str, doc: Any, context: str) -> Gold:
    """Gold answer rendered from a document with the benchmark's own jinja template."""
    from lm_eval.utils import apply_template

    text = str(apply_template(template, doc))
    return Gold(text, context, delimited(task, context, text))


def delimited(task: Any, context: str, text: str) -> str:
    """`text` preceded by the task's delimiter, unless white space already separates prompt and text."""
    from lm_eval.api.utils import requires_delimiter

    if not text:
        return ""
    return str(task.config.target_delimiter) + text if requires_delimiter(context, text) else text


def target_gold(task: Any, benchmark: BenchmarkSpec, doc: Any, context: str) -> Gold:
    """Gold answer of a generation task: the benchmark's template, else the task's (first) target.

    The target of a task that executes code is its tests. They do not continue the prompt, so the
    continuation is empty.
    """
    if benchmark.gold is not None:
        return template_gold(task, benchmark.gold, doc, context)
    text = first_text(task.doc_to_target(doc))
    if benchmark.executes_code or getattr(task, "UNSAFE_CODE", False):
        return Gold(text, context, "")
    if task.config.doc_to_choice is not None and text.isdigit():
        text = str(task.doc_to_choice(doc)[int(text)])
    return Gold(text, context, delimited(task, context, text))


def choice_gold(task: Any, doc: Any, arguments: Sequence[Any], loglikelihoods: Sequence[float]) -> Gold:
    """Gold answer of a multiple-choice document, from the task's own requests."""
    choices = [str(choice) for choice in task.doc_to_choice(doc)]
    index = gold_index(task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc), choices)
    if index is None:
        return Gold("", str(arguments[0][0]), "")
    context, continuation = arguments[index][:2]
    return Gold(choices[index], str(context), str(continuation), float(loglikelihoods[index]))


def gold_index(target: Any, choices: Sequence[str]) -> int | None:
    """Index of the correct choice (the first, if several are); None if the label names no choice."""
    if isinstance(target, list | tuple):
        return next((i for one in target if (i := gold_index(one, choices)) is not None), None)
    if isinstance(target, str):
        return choices.index(target) if target in choices else None
    return target if 0 <= int(target) < len(choices) else None


def first_text(target: Any) -> str:
    if isinstance(target, list | tuple):
        return str(target[0]) if target else ""
    return str(target)


def score_continuations(
    lm: Any, golds: Sequence[Gold], ask: Callable[[list[Any]], Sequence[Any]] | None = None
) -> list[float | None]:
    """Log-likelihood (nats) of each continuation; None where nothing can be scored.

    Where prompt and continuation share a token (`f(` and `)` may be one), no token is left for the
    continuation and lm-eval would fail, so such a pair is not requested. If the tokenizer is unknown (a model
    behind a server), every continuation is requested.

    Args:
        lm: an lm_eval.api.model.LM of any class.
        ask: function that sends the requests (for example through a cache); None: `lm.loglikelihood`.
    """
    from lm_eval.api.instance import Instance

    lengths = [_tokens(lm, gold) for gold in golds]
    scorable = [i for i, length in enumerate(lengths) if _is_scorable(lm, golds[i], length)]
    if not scorable:
        return [None] * len(golds)
    pairs = [(golds[i].context, golds[i].continuation) for i in scorable]
    requests = [Instance("loglikelihood", {}, pair, 0, ("gold", i, 1)) for i, pair in enumerate(pairs)]
    with _within_memory(lm, [lengths[i] for i in scorable]):
        answers = _answered(ask or lm.loglikelihood, requests, asks_a_server=lengths[scorable[0]] is None)
    found = dict(zip(scorable, answers, strict=True))
    return [found.get(i) for i in range(len(golds))]


def rows_at_once(tokens: int, vocabulary: int, batch_size: int) -> int:
    """How many requests of this length fit into memory; the backend holds all logits and a copy of them.

    Eight few-shot prompts of 1,000 tokens with Gemma's 262,144 words would be 2 x 8 GB.
    """
    return max(1, min(batch_size, LOGITS_AT_ONCE // (tokens * vocabulary)))


def _answered(
    ask: Callable[[list[Any]], Sequence[Any]], requests: list[Any], *, asks_a_server: bool
) -> list[float | None]:
    # lm-eval raises AssertionError if a server gives no log-probabilities; from a local model it is a bug
    refusals = (NotImplementedError, AssertionError) if asks_a_server else (NotImplementedError,)
    try:
        answers = ask(requests)
    except refusals:
        return [None] * len(requests)
    return [None if answer is None else float(answer[0]) for answer in answers]


def _is_scorable(lm: Any, gold: Gold, length: tuple[int, int] | None) -> bool:
    if length is None:
        return bool(gold.continuation)
    return length[0] > 0 and 0 < length[1] <= _window(lm)


def _window(lm: Any) -> int:
    """The model's context window in tokens; model classes without this information truncate by themselves."""
    return int(getattr(lm, "max_length", sys.maxsize))


@contextmanager
def _within_memory(lm: Any, lengths: Sequence[tuple[int, int] | None]) -> Iterator[None]:
    """Batches that fit into memory, for lm-eval's Hugging Face class; others do it themselves."""
    known = [sum(length) for length in lengths if length is not None]
    if getattr(lm, "manages_memory", False) or not known or not hasattr(lm, "batch_size_per_gpu"):
        yield
        return
    vocabulary = lm.config.get_text_config().vocab_size
    rows = rows_at_once(min(_window(lm), max(known)), vocabulary, lm.batch_size_per_gpu)
    with replaced(lm, "batch_size_per_gpu", rows):
        yield


def _tokens(lm: Any, gold: Gold) -> tuple[int, int] | None:
    """Tokens of the context and of the continuation; None if the model class does not provide them."""
    if not gold.continuation:
        return 0, 0
    if not hasattr(lm, "_encode_pair") or getattr(lm, "tokenizer_backend", "") is None:
        return None
    if gold.context:
        context, continuation = lm._encode_pair(gold.context, gold.continuation)
        return len(context), len(continuation)
    return 1, len(lm.tok_encode(gold.continuation, add_special_tokens=False))
