"""A document's few-shot examples are those of an unlimited run, whichever documents are asked."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.samplers import ContextSampler, FirstNSampler

from harness.scoring.limit import ReplayedSampler, draws_in_sequence, replay_draws

POOL = [{"n": i % 6} for i in range(9)]  # 0, 1 and 2 are there twice
CHOSEN = st.sets(st.integers(0, len(POOL) - 1), min_size=1).map(sorted)


def whole_run(seed: int, n: int, *, from_the_test_split: bool) -> list[Any]:
    """lm-eval's own sampler, one document after the other."""
    sampler = ContextSampler(POOL, rnd=seed)
    return [sampler.sample(n, eval_doc=doc if from_the_test_split else None) for doc in POOL]


@given(CHOSEN, st.integers(0, 50), st.integers(1, 4), st.booleans())
def test_examples_equal_a_whole_runs(chosen: list[int], seed: int, n: int, from_the_test_split: bool) -> None:
    """Also where a document may be among its own examples: then lm-eval draws one more, and again where it
    drew the document twice."""
    replayed = ReplayedSampler(ContextSampler(POOL), POOL, chosen).set_rnd(seed)
    expected = whole_run(seed, n, from_the_test_split=from_the_test_split)
    for i in chosen:
        assert replayed.sample(n, eval_doc=POOL[i] if from_the_test_split else None) == expected[i]


def test_a_seed_begins_again_with_the_first_document() -> None:
    replayed = ReplayedSampler(ContextSampler(POOL), POOL, [2, 5])
    first = [replayed.set_rnd(1).sample(3), replayed.sample(3)]
    assert [replayed.set_rnd(1).sample(3), replayed.sample(3)] == first
    assert first == [whole_run(1, 3, from_the_test_split=False)[i] for i in (2, 5)]


@pytest.mark.parametrize(
    ("sampler", "fewshot", "expected"),
    [(ContextSampler(POOL), 2, True), (ContextSampler(POOL), 0, False), (FirstNSampler(POOL), 2, False)],
)
def test_only_a_sampler_that_draws_on_is_replaced(sampler: Any, fewshot: int, expected: bool) -> None:
    task = SimpleNamespace(sampler=sampler)
    assert draws_in_sequence(task, fewshot) is expected
    replay_draws(task, fewshot, POOL, [1, 4])
    assert (task.sampler is not sampler) is expected


def test_a_whole_run_is_left_alone() -> None:
    task = SimpleNamespace(sampler=ContextSampler(POOL))
    replay_draws(task, 2, POOL, range(len(POOL)))
    assert isinstance(task.sampler, ContextSampler)
