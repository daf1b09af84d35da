"""What the YAML of the benchmarks in many languages refers to: whole programs, and their verdicts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from suites.support import Program

Doc = Mapping[str, Any]

# MultiPL-E calls languages by the end of their files' names, multilingual HumanEval as we do.
_LANGUAGES = {
    "go_test.go": "go_test",
    "js": "javascript",
    "pl": "perl",
    "rb": "ruby",
    "rs": "rust",
    "ts": "typescript",
}
# What closes a function of multilingual HumanEval, and with it whatever the prompt opened around it that the
# tests do not close. Generation stops at the first line of it.
_CLOSING = {
    "csharp": "\n        }",
    "java": "\n    }\n}",
    "ruby": "\nend",
}
_BRACE = "\n}"


def multipl_e_candidates(resps: Iterable[Sequence[str]], docs: Iterable[Doc]) -> list[list[str]]:
    """lm-eval filter: prompt and each completion, cut at the document's own stop tokens."""
    return [
        [doc["prompt"].strip() + cut(text, doc["stop_tokens"]) for text in texts]
        for texts, doc in zip(resps, docs, strict=True)
    ]


def humaneval_candidates(resps: Iterable[Sequence[str]], docs: Iterable[Doc]) -> list[list[str]]:
    """lm-eval filter: prompt and each completion, with its function closed."""
    return [
        [doc["prompt"] + text + _CLOSING.get(doc["language"], _BRACE) for text in texts]
        for texts, doc in zip(resps, docs, strict=True)
    ]


def cut(text: str, stop_tokens: Iterable[str]) -> str:
    """The text up to the first of the stop tokens."""
    return text[: min((at for stop in stop_tokens if (at := text.find(stop)) >= 0), default=len(text))]


def judge(doc: Doc, results: Sequence[Sequence[str]]) -> dict[str, float]:
    """`process_results`: of a document's samples, pass@k and the shares that compile and that time out."""
    from suites.support import judged

    return judged([program_of(doc, candidate) for candidate in results[0]])


def program_of(doc: Doc, candidate: str) -> "Program":
    """A candidate with its document's tests, of either dataset."""
    from suites.support import Program

    language = str(doc["language"])
    return Program(
        _LANGUAGES.get(language, language), candidate, doc["tests"] if "tests" in doc else doc["test"]
    )
