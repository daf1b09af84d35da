"""Rows: guesses cost no correctness, each row ends for itself, memory decides how many there are."""

from typing import Any

import numpy as np
import pytest

from harness.scoring.shared_prefix.generation import Prompt, generate
from harness.scoring.shared_prefix.kv_cache import RowCache
from harness.scoring.shared_prefix.memory import Capacity
from harness.scoring.shared_prefix.prompt_lookup import MOST, Guesser
from harness.scoring.shared_prefix.strategies import choose
from tests.harness.scoring.shared_prefix.models import VOCABULARY, model_of, plain_greedy

FEW = Capacity(pack_tokens=16, step_tokens=12, logits_at_once=4, most_rows=3, row_tokens=1 << 20)


@pytest.fixture(scope="module")
def reader() -> Any:
    return choose(model_of("llama"), "tree").reader


def generated(reader: Any, prompts: list[Prompt], capacity: Capacity = FEW) -> list[list[int]]:
    found: dict[int, list[int]] = {}
    generate(reader, prompts, capacity, found.__setitem__)
    return [found[i] for i in range(len(prompts))]


def some_prompts(count: int) -> list[Any]:
    rng = np.random.default_rng(5)
    return [rng.integers(3, VOCABULARY, 5 + i) for i in range(count)]


def test_a_row_ends_with_the_token_that_stops_it(reader: Any) -> None:
    prompt = some_prompts(1)[0]
    whole = generated(reader, [Prompt(prompt, 20, lambda _: False)])[0]
    stop = whole[7]
    first = whole.index(stop)
    cut = generated(reader, [Prompt(prompt, 20, lambda text: text[-1] == stop)])[0]
    assert cut == whole[: first + 1]


class Oracle(Guesser):
    """Guesses from what it is told that the model will say, right, or each off by one."""

    said: dict[tuple[int, ...], list[int]] = {}
    turned = 0

    def __init__(self, prompt: Any) -> None:
        super().__init__(prompt)
        self.answer, self.place = self.said[tuple(prompt)], 0

    def extend(self, tokens: Any) -> None:
        super().extend(tokens)
        self.place = getattr(self, "place", -len(tokens)) + len(tokens)

    def guess(self, most: int) -> list[int]:
        return [(token + self.turned) % VOCABULARY for token in self.answer[self.place :][:most]]


@pytest.mark.parametrize(("turned", "passes"), [(0, 4), (1, 14)])
def test_guesses_change_no_answer_and_save_passes_only_where_right(
    reader: Any, monkeypatch: pytest.MonkeyPatch, turned: int, passes: int
) -> None:
    """15 tokens by 3 rows, 12 tokens a pass: the prompt gives one, then 14 singly, or 4 + 4 + 4 + 2."""
    prompts = some_prompts(3)
    expected = [plain_greedy(reader.model, p, 15) for p in prompts]
    said = {tuple(p.tolist()): text for p, text in zip(prompts, expected, strict=True)}
    monkeypatch.setattr(Oracle, "said", said)
    monkeypatch.setattr(Oracle, "turned", turned)
    monkeypatch.setattr("harness.scoring.shared_prefix.generation.Guesser", Oracle)
    begun: list[int] = []
    begin = RowCache.begin

    def watched(cache: RowCache, count: int) -> None:
        begun.append(count)
        begin(cache, count)

    monkeypatch.setattr(RowCache, "begin", watched)
    assert generated(reader, [Prompt(p, 15, lambda _: False) for p in prompts]) == expected
    assert len(begun) == passes


def test_a_guess_is_what_followed_the_same_tokens_before() -> None:
    guesser = Guesser([1, 2, 3, 4, 5, 1, 2, 3])
    assert guesser.guess(2) == [4, 5]
    guesser.extend([9])
    assert guesser.guess(2) == []  # 3 9 is new
    assert Guesser([1, 2]).guess(5) == []
    assert guesser.guess(0) == []


def test_guesses_grow_where_they_hold_and_shrink_where_they_do_not() -> None:
    guesser = Guesser([*range(50), 0, 1, 2, 3])
    sizes = []
    for right in (4, 8, MOST, 0, 1):
        guess = guesser.guess(100)
        sizes.append(len(guess))
        guesser.learn(len(guess), min(right, len(guess)))
    assert sizes == [4, 8, MOST, MOST, 1]


def test_longer_runs_are_trusted_before_shorter_ones() -> None:
    """After 7 8 came 1; after 6 7 8 came 2: the longer run decides, wherever it stands."""
    assert Guesser([6, 7, 8, 2, 5, 7, 8, 1, 6, 7, 8]).guess(1) == [2]
