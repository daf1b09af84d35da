"""Bits per byte of gold continuations: the arithmetic, and models of any lm-eval class."""

from math import isclose, log
from types import SimpleNamespace
from typing import Any

import pytest

from harness.scoring import LoadedLM, ScoringOptions, load_lm
from harness.scoring.gold import (
    Gold,
    bits_per_byte,
    gold_index,
    rows_at_once,
    score_continuations,
    scored_bytes,
)
from tests.harness.scoring.scoring_world import write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedLM:
    return load_lm(write_model(tmp_path_factory.mktemp("model")), ScoringOptions(device="cpu"))


def test_bits_per_byte_is_the_negative_log2_likelihood_per_byte() -> None:
    """Half a chance per byte is one bit per byte: log p = 5 ln(1/2) over the 5 bytes of " café" less one."""
    gold = Gold("cafe", "A:", " cafe")
    assert scored_bytes(gold) == 5
    value = bits_per_byte(gold, 5 * log(0.5))
    assert value is not None
    assert isclose(value, 1.0)


def test_bytes_are_utf8_and_include_white_space_moved_from_the_prompt() -> None:
    assert scored_bytes(Gold("é", "A:", " é")) == 3  # one space, two bytes
    assert scored_bytes(Gold("x", "def f():\n", "    x")) == 6  # lm-eval scores "\n    x"


def test_nothing_scored_has_no_bits_per_byte() -> None:
    assert bits_per_byte(Gold("", "A:", ""), None) is None
    assert bits_per_byte(Gold("", "A:", ""), 0.0) is None


@pytest.mark.parametrize(
    ("target", "expected"),
    [(1, 1), (0, 0), (9, None), (-1, None), ("b", 1), ("z", None), ([5, 2], 2), ([], None)],
)
def test_the_gold_choice_comes_from_an_index_a_text_or_a_list(target: Any, expected: int | None) -> None:
    assert gold_index(target, ["a", "b", "c"]) == expected


def test_a_continuation_without_tokens_of_its_own_has_no_bits_per_byte(model: LoadedLM) -> None:
    """One token may cover the prompt's end and the answer; lm-eval stops there with an assertion."""

    class Swallows:
        """A tokenizer that makes one token of "f(" and ")"."""

        max_length = 100
        batch_size_per_gpu = 2
        config = model.lm.config

        def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
            return ([1], []) if continuation == ")" else model.lm._encode_pair(context, continuation)

        def loglikelihood(self, requests: list[Any]) -> Any:
            return model.lm.loglikelihood(requests, disable_tqdm=True)

    golds = [Gold(")", "f(", ")"), Gold("x)", "f(", "x)"), Gold("", "f(", "")]
    found = score_continuations(Swallows(), golds)
    assert found[0] is None
    assert found[1] is not None
    assert found[1] < 0
    assert found[2] is None


def test_a_class_that_does_not_say_how_it_tokenises_is_asked_for_every_continuation() -> None:
    class Server:
        """Answers what it can; nothing else of a Hugging Face model is there."""

        def loglikelihood(self, requests: list[Any]) -> list[Any]:
            return [None if r.args[1] == "?" else (-float(len(r.args[1])), True) for r in requests]

    golds = [Gold("ab", "f(", "ab"), Gold("?", "f(", "?"), Gold("", "f(", ""), Gold("abc", "", "abc")]
    assert score_continuations(Server(), golds) == [-2.0, None, None, -3.0]


@pytest.mark.parametrize("error", [NotImplementedError, AssertionError])
def test_a_server_without_log_probabilities_scores_nothing(error: type[Exception]) -> None:
    class Chat:
        def loglikelihood(self, _requests: list[Any]) -> list[Any]:
            raise error("no log-probabilities here")

    assert score_continuations(Chat(), [Gold("a", "f(", "a")]) == [None]


@pytest.mark.parametrize("manages_memory", [True, False])
def test_a_class_that_manages_memory_keeps_its_batch_size(manages_memory: bool) -> None:
    """One gold of 2,000 tokens and 2^18 words would leave the Hugging Face class no room for 8 rows."""
    seen: list[int] = []

    class Model:
        max_length = 4000
        batch_size_per_gpu = 8
        config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(vocab_size=1 << 18))

        def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
            return [0] * len(context), [0] * len(continuation)

        def loglikelihood(self, requests: list[Any]) -> list[Any]:
            seen.append(self.batch_size_per_gpu)
            return [(-1.0, True)] * len(requests)

    lm = Model()
    lm.manages_memory = manages_memory  # type: ignore[attr-defined]
    assert score_continuations(lm, [Gold("", "x" * 1000, "y" * 1000)]) == [-1.0]
    assert seen == [8 if manages_memory else 1]
    assert lm.batch_size_per_gpu == 8


@pytest.mark.parametrize(
    ("tokens", "vocabulary", "expected"),
    [(1000, 262_144, 1), (1000, 49_152, 5), (50, 49_152, 8), (10**6, 262_144, 1)],
)
def test_logits_of_one_batch_stay_within_a_gigabyte(tokens: int, vocabulary: int, expected: int) -> None:
    """2^28 numbers: 2^28 / (1000 * 49152) = 5.46."""
    assert rows_at_once(tokens, vocabulary, batch_size=8) == expected
