"""The metric `code_eval`, in the sandbox: calls and answers as those of the metric it stands for."""

import subprocess
import sys
from math import comb, isclose

import pytest

from harness.core.exceptions import InputError
from harness.sandbox import CodeEval, Unconfined, confining, metric, pass_at_k
from tests.conftest import CHECKOUT

REFERENCES = ["assert add(2, 3) == 5", "assert twice(2) == 4"]
PREDICTIONS = [
    ["def add(a, b): return a * b", "def add(a, b): return a + b"],
    ["def twice(a): return 2 * a"],
]


@pytest.mark.parametrize(("n", "passed", "k"), [(1, 1, 1), (1, 0, 1), (5, 2, 1), (5, 2, 3), (4, 4, 4)])
def test_pass_at_k_is_the_chance_that_some_of_k_samples_pass(n: int, passed: int, k: int) -> None:
    """Draws without replacement: all k fail with chance (n-c)/n * (n-c-1)/(n-1) * ..."""
    all_fail = 1.0
    for i in range(k):
        all_fail *= max(0, n - passed - i) / (n - i)
    assert isclose(pass_at_k(n, passed, k), 1 - all_fail)
    assert isclose(pass_at_k(n, passed, k), 1 - comb(n - passed, k) / comb(n, k))


def test_k_beyond_the_samples_is_an_error() -> None:
    with pytest.raises(InputError, match="pass@2 cannot be estimated from 1"):
        pass_at_k(1, 1, 2)


def test_it_answers_as_the_metric_it_stands_for() -> None:
    """Two problems, of two and one candidates: pass@1 is the mean of 1/2 and 1."""
    scores, results = CodeEval().compute(
        references=REFERENCES, predictions=PREDICTIONS, backend=confining() or Unconfined()
    )
    assert scores == {"pass@1": 0.75}  # of the usual 1, 10 and 100, what there are samples for
    assert [(i, row["passed"]) for i, row in results[0]] == [(0, False), (1, True)]
    assert results[1][0][1] == {"task_id": 1, "completion_id": 0, "passed": True, "result": "passed"}


def test_a_k_that_was_asked_for_is_not_left_out() -> None:
    with pytest.raises(InputError, match="pass@2"):
        CodeEval().compute(references=REFERENCES, predictions=PREDICTIONS, k=[2], backend=Unconfined())


@pytest.mark.slow
def test_evaluate_loads_it_from_its_path() -> None:
    """In a process of its own, outside of the checkout, as somebody would who has only installed it."""
    if confining() is None:
        pytest.skip("no sandbox works here")
    code = (
        "import evaluate\n"
        f"metric = evaluate.load({metric.__file__!r})\n"
        f"scores, results = metric.compute(references={REFERENCES}, predictions={PREDICTIONS}, k=[1])\n"
        "print(scores, [row['passed'] for _, row in results[0]])"
    )
    environment = {
        "PYTHONPATH": ":".join([str(CHECKOUT), *sys.path]),
        "HF_HUB_OFFLINE": "1",
        "PATH": "/usr/bin",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "{'pass@1': 0.75} [False, True]\n", done.stderr


@pytest.mark.slow
def test_waiting_costs_no_cpu_time() -> None:
    """As on a loaded machine: the wall clock runs past the CPU time allowed, and the program is right."""
    answer = "import time; time.sleep(1.5)\ndef f(): return 1"
    scores, _ = CodeEval().compute(
        references=["assert f() == 1"], predictions=[[answer]], timeout=1.0, backend=Unconfined()
    )
    assert scores == {"pass@1": 1.0}
