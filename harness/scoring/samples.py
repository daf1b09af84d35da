"""Conversion of lm-eval's per-document samples to items."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from numbers import Real
from typing import Any

from harness.core.exceptions import InputError, nearest
from harness.core.record import Item
from harness.scoring.gold import Gold, bits_per_byte, choice_gold, first_text, scored_bytes, target_gold
from harness.scoring.tasks import chosen_filter, filter_names, score_name
from harness.suite.spec import BenchmarkSpec

PROMPT_CHARACTERS = 4000  # number of characters of the prompt's end that an item keeps


@dataclass(frozen=True)
class Answer:
    """One document with one model's answer; the log-likelihood of `gold` may be added later."""

    task: str
    doc: Any
    prompt: str
    gold: Gold
    prediction: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    loglikelihoods: tuple[float, ...] = ()


def answers_of(
    name: str, task: Any, benchmark: BenchmarkSpec, samples: Sequence[Mapping[str, Any]]
) -> list[Answer]:
    """Convert lm-eval's samples of one task to answers, in the order of the documents.

    lm-eval gives one sample for each filter and document. An answer has the prediction of the chosen filter
    and the scores of all filters.
    """
    chosen = chosen_filter(benchmark, task)
    by_filter = {f: [s for s in samples if s["filter"] == f] for f in filter_names(task)}
    documents = zip(*by_filter.values(), strict=True)
    return [
        _answer(name, task, benchmark, dict(zip(by_filter, document, strict=True)), chosen)
        for document in documents
    ]


def _answer(
    name: str, task: Any, benchmark: BenchmarkSpec, by_filter: Mapping[str, Mapping[str, Any]], chosen: str
) -> Answer:
    sample = by_filter[chosen]
    gold, prediction = _gold_and_prediction(task, benchmark, sample)
    return Answer(
        task=name,
        doc=sample["doc"],
        prompt=str(sample["arguments"][0][0]),
        gold=gold,
        prediction=prediction,
        scores=_scores(by_filter, chosen),
        loglikelihoods=_loglikelihoods(task, sample),
    )


def _scores(by_filter: Mapping[str, Mapping[str, Any]], chosen: str) -> dict[str, float]:
    """Scores under every filter, the selected filter first."""
    return {
        score_name(metric, name, chosen): float(sample[metric])
        for name, sample in sorted(by_filter.items(), key=lambda named: named[0] != chosen)
        for metric in sample["metrics"]
        if isinstance(sample[metric], Real)
    }


def _loglikelihoods(task: Any, sample: Mapping[str, Any]) -> tuple[float, ...]:
    """Log-likelihoods (nats) of all choices in order, of the target or of the text; none for generation.

    The context-free log-likelihoods that acc_mutual_info needs are left out.
    """
    filtered = sample["filtered_resps"]
    match task.OUTPUT_TYPE:
        case "multiple_choice":
            return tuple(float(r[0]) for r in filtered[: len(task.doc_to_choice(sample["doc"]))])
        case "loglikelihood":
            return (float(filtered[0][0]),)
        case "loglikelihood_rolling":
            return (float(filtered[0]),)
        case _:
            return ()


def _gold_and_prediction(task: Any, benchmark: BenchmarkSpec, sample: Mapping[str, Any]) -> tuple[Gold, str]:
    doc, arguments, filtered = sample["doc"], sample["arguments"], sample["filtered_resps"]
    loglikelihoods = _loglikelihoods(task, sample)
    context = str(arguments[0][0])
    match task.OUTPUT_TYPE:
        case "multiple_choice":
            choices = task.doc_to_choice(doc)
            best = max(range(len(choices)), key=loglikelihoods.__getitem__)
            gold, prediction = choice_gold(task, doc, arguments, loglikelihoods), str(choices[best])
        case "loglikelihood":
            target = str(arguments[0][1])
            gold = Gold(target.strip(), context, target, loglikelihoods[0])
            prediction = target.strip() if filtered[0][1] else ""
        case "loglikelihood_rolling":
            return Gold("", "", context, loglikelihoods[0]), ""
        case _:
            return target_gold(task, benchmark, doc, context), first_text(filtered[0])
    return (gold if benchmark.gold is None else target_gold(task, benchmark, doc, context)), prediction


def items_of(answers: Sequence[Answer], loglikelihoods: Sequence[float | None]) -> list[Item]:
    """Items in the order of `answers`; `loglikelihoods` (nats) are those of their gold continuations."""
    ids = item_ids((answer.task, doc_hash(answer.doc)) for answer in answers)
    return [_item(*row) for row in zip(ids, answers, loglikelihoods, strict=True)]


def _item(item: str, answer: Answer, loglikelihood: float | None) -> Item:
    bits = bits_per_byte(answer.gold, loglikelihood)
    return Item(
        item=item,
        task=answer.task,
        scores=dict(answer.scores),
        prediction=answer.prediction,
        gold=answer.gold.text,
        prompt=answer.prompt[-PROMPT_CHARACTERS:],
        bits_per_byte=bits,
        gold_bytes=None if bits is None else scored_bytes(answer.gold),
        loglikelihoods=answer.loglikelihoods,
        cluster=cluster_of(answer.doc),
    )


def item_ids(documents: Iterable[tuple[str, str]]) -> list[str]:
    """Item ids from task names and document hashes; repeated documents get the suffix "-2", "-3", ..."""
    seen: Counter[str] = Counter()
    ids = []
    for task, digest in documents:
        item = sha256(f"{task}\0{digest}".encode()).hexdigest()[:20]
        seen[item] += 1
        ids.append(item if seen[item] == 1 else f"{item}-{seen[item]}")
    return ids


def doc_hash(doc: Any) -> str:
    """Hash of a document, equal to lm-eval's `doc_hash`; also works for documents that were not run."""
    from lm_eval.utils import handle_non_serializable, hash_string

    return str(hash_string(json.dumps(doc, indent=2, default=handle_non_serializable, ensure_ascii=False)))


def misnamed_metrics(benchmark: BenchmarkSpec, task: Any) -> list[str]:
    """Errors in the names of the benchmark's metrics, as sentences.

    lm-eval gives a log-likelihood for each document under the name "perplexity" and makes a perplexity of all
    documents together: item by item it would be compared in the wrong direction and unit.
    """
    own = getattr(task.config, "process_results", None) is not None
    named = {metric.partition(",")[0] for metric in benchmark.metrics}
    if task.OUTPUT_TYPE != "loglikelihood" or own or "perplexity" not in named:
        return []
    return [
        "its per-document 'perplexity' is a log-likelihood and cannot be compared as a perplexity; leave it "
        "out: bits per byte, which is measured anyway, says the same"
    ]


def require_metrics(benchmark: BenchmarkSpec, answers: Sequence[Answer]) -> None:
    """Check that every metric of the benchmark has a number for every document.

    Raises:
        InputError: the task does not give a metric, or gives it only as an aggregate over all documents.
    """
    for answer in answers:
        for metric in benchmark.metrics:
            if metric not in answer.scores:
                raise InputError(
                    f"benchmark {benchmark.name}: task {answer.task} gives no per-document {metric!r}, only "
                    f"{', '.join(answer.scores) or 'none'}{nearest(metric, answer.scores)}",
                    remedy="name one of these under `metrics`",
                )


# columns of DROP and BoolQ, of SQuAD and similar datasets, of CoQA, of RACE
PASSAGES = ("passage", "context", "story", "article")


def cluster_of(doc: Any) -> str | None:
    """A hash of the passage that a document refers to; None without a passage.

    A passage that a single document asks about makes a cluster of one, which changes nothing.
    """
    columns = doc if isinstance(doc, Mapping) else {}
    texts = (columns.get(name) for name in PASSAGES)
    passage = next((text for text in texts if isinstance(text, str) and text.strip()), None)
    return None if passage is None else sha256(passage.encode()).hexdigest()[:20]
