"""Python programs are judged by tests that run elsewhere, as if they had run in the same place."""

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from harness.sandbox import Backend, PythonProgram, Ruling, Unconfined, judge, judge_all
from harness.sandbox.cache import VerdictCache, key_of
from harness.sandbox.job import Limits
from harness.sandbox.python_program import LIMITS, helpers

SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("source", "tests", "expected"),
    [
        ("def f(x): return x + 1", "assert f(1) == 2", Ruling.PASSED),
        ("def f(x): return x", "assert f(1) == 2, 'off by one'", Ruling.FAILED),
        ("def f(x): return 1 / 0", "assert f(1) == 2", Ruling.ERROR),
        ("def f(:", "assert f(1) == 2", Ruling.ERROR),
        ("", "assert f(1) == 2", Ruling.ERROR),
        ("import numpy\ndef f(x): return 2", "assert f(1) == 2", Ruling.ERROR),  # the standard library only
        (
            "from typing import List\nimport math, re, heapq\ndef f(x): return 2",
            "assert f(1) == 2",
            Ruling.PASSED,
        ),
        pytest.param("def f(x):\n    while True: pass", "assert f(1) == 2", Ruling.TIMEOUT, marks=SLOW),
        pytest.param("import time\ndef f(x): time.sleep(99)", "assert f(1) == 2", Ruling.TIMEOUT, marks=SLOW),
        ("def f(x): return 'x' * 10**10", "assert f(1) == 2", Ruling.MEMORY),
        ("def f(x):\n    while True: print('x' * 10**5)", "assert f(1) == 2", Ruling.OUTPUT),
        (
            "def f(x): return 2\nif __name__ == '__main__': raise ValueError",
            "assert f(1) == 2",
            Ruling.PASSED,
        ),
    ],
)
def test_a_program_is_judged_by_its_tests(
    backend: Backend, source: str, tests: str, expected: Ruling
) -> None:
    limits = Limits(cpu_seconds=1, wall_seconds=2.0, memory_bytes=256 << 20)
    assert judge(PythonProgram(source, tests), backend, limits=limits).ruling is expected


@pytest.mark.parametrize(
    ("source", "tests"),
    [
        ("def f(x): raise KeyError(x)", "try: f(1); assert False\nexcept KeyError: pass"),
        ("from collections import Counter\nf = Counter", "assert f('aab') == {'a': 2, 'b': 1}"),
        ("def f(n): return (i * i for i in range(n))", "assert list(f(3)) == [0, 1, 4]"),
        ("def f(n): return range(n)", "assert f(3) == range(3)"),
        ("def f(x): return x is int", "assert f(int)"),
        ("f = lambda *a, **b: (a, b)", "assert f(1, [2.5], c={3: {4}}) == ((1, [2.5]), {'c': {3: {4}}})"),
        ("def f(): return 10**5000, -0.0, float('inf'), 1j, b'x', '\\ud800'", "assert f()[0] == 10**5000"),
        ("class P:\n    def __init__(s, x): s.x = x\ndef f(p): return p.x", "assert f(P(3)) == 3"),
        ("class P: pass\nroot = P()\nroot.x = 3\ndef f(p): return p.x", "assert f(root) == 3"),
        ("import math\ndef f(x): return math.sqrt(x)", "assert math.isclose(f(2.0) ** 2, 2)"),
        ("def sum(a, b): return a + b", "assert sum(10, 15) == 25"),
    ],
)
def test_tests_see_what_they_would_see_in_one_process(backend: Backend, source: str, tests: str) -> None:
    verdict = judge(PythonProgram(source, tests), backend)
    assert verdict.passed, verdict.detail


def test_the_detail_says_what_was_wrong_and_never_the_proof(backend: Backend) -> None:
    verdict = judge(PythonProgram("def f(x): return x", "assert f(1) == 2, 'off by one'"), backend)
    assert verdict.detail == "AssertionError: off by one"


@pytest.mark.parametrize(
    ("prompt", "kept"),
    [
        (
            'import math\n\n\ndef g(x):\n    return x\n\n\ndef f(x):\n    """Doc."""\n',
            "import math\n\ndef g(x):\n    return x",
        ),
        ("def f(x):\n", ""),
        ("Write a function.", ""),
        ("", ""),
    ],
)
def test_helpers_of_a_prompt_are_all_but_what_is_to_be_written(prompt: str, kept: str) -> None:
    assert helpers(prompt) == kept


class TestCache:
    """Equal programs are run once; what decides a verdict is in the key."""

    def test_a_verdict_is_found_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cache, program = VerdictCache(), PythonProgram("def f(): return 1", "assert f() == 1")
        first = judge(program, Unconfined(), cache=cache)
        module = import_module("harness.sandbox.run")  # as an attribute `run` is the function
        monkeypatch.setattr(module, "_judged", None)  # would raise if it were called
        assert judge(program, Unconfined(), cache=cache) is first

    def test_a_time_out_is_not_kept(self) -> None:
        cache, limits = VerdictCache(), Limits(wall_seconds=0.3)
        program = PythonProgram("import time\ntime.sleep(9)", "")
        assert judge(program, Unconfined(), cache=cache, limits=limits).ruling is Ruling.TIMEOUT
        assert cache.get(key_of(program, limits, Unconfined(), "")) is None

    def test_whatever_decides_changes_the_key(self) -> None:
        program = PythonProgram("a", "b")
        base = key_of(program, LIMITS, Unconfined(), "")
        others = {
            key_of(PythonProgram("ab", ""), LIMITS, Unconfined(), ""),
            key_of(PythonProgram("a", "b", "c"), LIMITS, Unconfined(), ""),
            key_of(program, Limits(), Unconfined(), ""),
            key_of(program, LIMITS, Unconfined(), "2.0"),
        }
        assert len(others) == 4
        assert base not in others


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_every_canonical_solution_of_humaneval_passes(shared: Path) -> None:
    rows = _rows(shared / "data/hub/openai/openai_humaneval/test.jsonl")
    programs = [
        PythonProgram(
            row["prompt"] + row["canonical_solution"],
            f"{row['test']}\ncheck({row['entry_point']})",
            row["prompt"],
        )
        for row in rows
    ]
    verdicts = judge_all(programs, None if sys.platform == "linux" else Unconfined())
    failed = [row["task_id"] for row, verdict in zip(rows, verdicts, strict=True) if not verdict.passed]
    assert (len(rows), failed) == (164, [])


@pytest.mark.slow
def test_every_solution_of_mbpp_passes(shared: Path) -> None:
    """A tenth of it by default; all of its 974 with FUSEGAUGE_ALL_MBPP set (about a minute)."""
    files = sorted((shared / "data/hub/google-research-datasets/mbpp/full").glob("*.jsonl"))
    rows = [row for file in files for row in _rows(file)]
    rows = rows if os.environ.get("FUSEGAUGE_ALL_MBPP") else rows[::10]
    programs = [PythonProgram(row["code"], "\n".join(row["test_list"])) for row in rows]
    verdicts = judge_all(programs, None if sys.platform == "linux" else Unconfined())
    failed = [row["task_id"] for row, verdict in zip(rows, verdicts, strict=True) if not verdict.passed]
    assert failed == []
