"""What the YAML of the micro tasks refers to: the world's items, and the execution of generated programs."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from suites.support import code_items, commonsense_items, reasoning_items

_ITEMS: dict[str, Callable[[], Sequence[Any]]] = {
    "commonsense": commonsense_items,
    "reasoning": reasoning_items,
    "code": code_items,
}


def items(part: str, **_: Any) -> dict[str, Any]:
    """The items of one capability as lm-eval's `custom_dataset`; generated, nothing is read or downloaded."""
    from datasets import Dataset

    return {"test": Dataset.from_list([asdict(item) for item in _ITEMS[part]()])}


def complete_programs(resps: list[list[str]], docs: list[dict[str, Any]]) -> list[list[str]]:
    """lm-eval filter: the whole function, from the prompt and each generated expression."""
    return [[doc["prompt"] + text for text in texts] for texts, doc in zip(resps, docs, strict=True)]


def pass_at_k(references: list[str], predictions: list[list[str]], k: int) -> dict[str, float]:
    """`pass@k` of each program against its assertions, by the `code_eval` in force when it is called."""
    import evaluate

    scores, _ = evaluate.load("code_eval").compute(references=references, predictions=predictions, k=[k])
    return dict(scores)
