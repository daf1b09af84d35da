"""The limited runner: a program passes exactly when it comes to its end, and costs at most its limits."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from math import comb, isclose
from pathlib import Path

import pytest

from harness.errors import InputError
from harness.sandbox import CodeEval, pass_at_k
from harness.sandbox.limited import Limits, Outcome, Status, run_program, run_programs

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits are POSIX")

SHORT = Limits(seconds=1.0, cpu_seconds=1, memory_bytes=256 << 20, file_bytes=1 << 20)


def status(source: str, limits: Limits | None = None) -> Status:
    return run_program(source, limits=limits).status


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(x): return x + 1\nassert f(1) == 2", Status.PASSED),
        ("def f(x): return x\nassert f(1) == 2, 'off by one'", Status.FAILED),
        ("1 / 0", Status.ERROR),
        ("def f(:", Status.ERROR),
        ("import numpy", Status.ERROR),  # the standard library only
        ("from typing import List\nimport math, re, collections, heapq, itertools", Status.PASSED),
    ],
)
def test_a_program_is_judged_by_its_tests(source: str, expected: Status) -> None:
    assert status(source) is expected


@pytest.mark.parametrize(
    "source",
    [
        "raise SystemExit(0)",
        "import sys; sys.exit()",
        "import os; os._exit(0)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import os\nif os.fork(): os._exit(0)",  # the child that goes on does not answer for it
    ],
)
def test_leaving_early_is_not_a_pass_however_successful(source: str) -> None:
    assert status(f"{source}\nassert False") is Status.ERROR
    assert status(source) is Status.ERROR


@pytest.mark.parametrize(
    "source",
    [
        "import sys; print(*sys.argv)",  # what the driver was given
        "print(open('program.py').read())",
        "raise ValueError(open('program.py').read())",
        "print('passed'); print('0' * 16)",
    ],
)
def test_what_a_program_prints_does_not_make_it_pass(source: str) -> None:
    assert status(f"{source}\nimport os; os._exit(0)") is Status.ERROR


def test_neither_file_nor_arguments_hold_the_proof() -> None:
    """The second half came as an argument and is gone; the first was never one."""
    source = (
        "import sys, re\nassert sys.argv[1:] == []\nassert not re.search('[0-9a-f]{16}', ' '.join(sys.argv))"
    )
    assert status(source) is Status.PASSED


def test_an_endless_loop_ends_at_its_cpu_time_and_sleep_at_the_wall_clock() -> None:
    started = time.monotonic()
    assert status("while True: pass", Limits(cpu_seconds=1, seconds=60)) is Status.TIMEOUT
    assert status("import time; time.sleep(60)", SHORT) is Status.TIMEOUT
    assert time.monotonic() - started < 20


def test_waiting_costs_no_cpu_time() -> None:
    """As on a loaded machine: the wall clock runs past the CPU time allowed, and the program is right."""
    answer = "import time; time.sleep(1.5)\ndef f(): return 1"
    scores, _ = CodeEval().compute(references=["assert f() == 1"], predictions=[[answer]], k=[1], timeout=1.0)
    assert scores == {"pass@1": 1.0}


def test_no_more_programs_at_once_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks: here more threads than cores, each for a program."""
    cores = os.cpu_count() or 1
    running: list[int] = []
    counts: list[int] = []

    def watched(_folder: Path, _limits: Limits) -> Outcome:
        running.append(1)
        counts.append(len(running))
        time.sleep(0.02)
        running.pop()
        return Outcome(Status.PASSED, "", 0.0)

    monkeypatch.setattr("harness.sandbox.limited._run_in", watched)
    with ThreadPoolExecutor(max_workers=4 * cores) as pool:
        list(pool.map(run_program, ["pass"] * 8 * cores))
    assert max(counts) <= cores


def test_a_program_cannot_start_another_unless_it_is_roots() -> None:
    """The driver's limits in a process that is not root's (nobody's, where the tests run as root)."""
    source = (
        "import os, resource\nfrom harness.sandbox import driver\nif os.geteuid() == 0: os.setuid(65534)\n"
        f"driver.apply_limits({[int(v) for v in Limits().in_order()]})\n"
        "try: os.fork()\nexcept BlockingIOError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.stdout == "refused\n", done.stderr


def test_a_child_that_stays_behind_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    source = f"""
import os, time
if os.fork() == 0:
    for _ in range(100):
        time.sleep(0.1)
        open({str(mark)!r}, "a").write("x")
"""
    run_program(source, limits=SHORT)
    time.sleep(0.3)
    size = mark.stat().st_size if mark.exists() else 0
    time.sleep(0.5)
    assert (mark.stat().st_size if mark.exists() else 0) == size


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="macOS does not bound address space")
@pytest.mark.parametrize("source", ["x = bytearray(1 << 34)", "x = []\nwhile True: x.append('a' * 10**6)"])
def test_memory_is_bounded(source: str) -> None:
    assert status(source, Limits(memory_bytes=256 << 20, seconds=10)) is Status.MEMORY


def test_a_flood_of_output_is_cut() -> None:
    outcome = run_program("while True: print('x' * 1000)", limits=SHORT)
    assert outcome.status is not Status.PASSED
    assert len(outcome.output) <= SHORT.detail_bytes


def test_files_are_bounded_and_removed() -> None:
    outcome = run_program("open('big', 'wb').write(b'x' * (2 << 20))", limits=SHORT)
    assert outcome.status is Status.ERROR
    shown = run_program("import os; print(os.getcwd()); assert False").output.splitlines()[0]
    assert not Path(shown).exists()


def test_the_program_sees_no_environment_and_no_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSEGAUGE_SECRET", "1")
    assert status("import os; assert 'FUSEGAUGE_SECRET' not in os.environ") is Status.PASSED
    assert run_program("input()").output.startswith("EOFError")


def test_outcomes_keep_the_order_of_the_programs() -> None:
    assert [o.passed for o in run_programs(["assert 1", "assert 0", "assert 1"])] == [True, False, True]


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


def test_code_eval_answers_as_the_metric_it_stands_for() -> None:
    """Two problems, of two and one candidates: pass@1 is the mean of 1/2 and 1."""
    scores, results = CodeEval().compute(
        references=["assert add(2, 3) == 5", "assert twice(2) == 4"],
        predictions=[
            ["def add(a, b): return a * b", "def add(a, b): return a + b"],
            ["def twice(a): return 2 * a"],
        ],
        k=[1],
    )
    assert scores == {"pass@1": 0.75}
    assert [(i, row["passed"]) for i, row in results[0]] == [(0, False), (1, True)]
    assert results[1][0][1]["result"] == "passed"
