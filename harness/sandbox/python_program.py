"""Verdicts on Python programs: program and tests run in separate sandboxes that exchange only plain data.

This prevents false passes: a program cannot read its tests or their expected values, tamper with the verdict,
or return an object whose `__eq__` is always true. It passes if the tests run to their end: return code 0, and
the tests' sandbox prints the proof, a random word that only that sandbox knows.
"""

import ast
import marshal
import os
import secrets
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from importlib import util
from pathlib import Path
from types import CodeType

from harness.sandbox.backends.base import Backend, interpreter
from harness.sandbox.executor import result_of, started
from harness.sandbox.inside import examiner
from harness.sandbox.inside.candidate import PROGRAM
from harness.sandbox.inside.first import BARE, BUNDLE
from harness.sandbox.job import Job, Limits, ProcessResult
from harness.sandbox.program_verdict import LIMIT_RULINGS, ProgramVerdict, Ruling
from harness.sandbox.users import spare_user
from harness.sandbox.watch import Watch, follow

LIMITS = Limits(cpu_seconds=3, wall_seconds=12.0, processes=16, open_files=64, file_bytes=8 << 20)
DISK_BYTES = 32 << 20
_GRACE = 1.0  # seconds to wait for a candidate to end after it stopped answering its tests
_DETAIL = 2000  # bytes of output kept in a verdict
_RULINGS = {examiner.FAILED: Ruling.FAILED, examiner.MEMORY: Ruling.MEMORY}
_SCRIPT = f"main{BUNDLE}"


@dataclass(frozen=True)
class PythonProgram:
    """A candidate program and its tests.

    given: the prompt with which the program begins, if known. The tests use their own copy of helpers that
        the prompt defines in full, even if the candidate redefines them.
    """

    source: str
    tests: str
    given: str = ""


def judge_python(
    program: PythonProgram, backend: Backend, uid: int, limits: Limits = LIMITS
) -> ProgramVerdict:
    """Run a program against its tests, each in a fresh sandbox.

    Raises:
        SandboxError: one of the sandboxes failed.
    """
    proof = secrets.token_hex(16)
    if not backend.counts_processes:
        limits = replace(limits, processes=1)
    with ExitStack() as stack:
        calls, answers = _Channel(stack), _Channel(stack)
        own = {PROGRAM: program.source}
        candidate = _script("candidate", own, limits, (calls.read, answers.write))
        told = {examiner.TESTS: program.tests, examiner.GIVEN: helpers(program.given), examiner.PROOF: proof}
        tests = _script("examiner", told, limits, (answers.read, calls.write))
        candidate_watch = stack.enter_context(started(candidate, backend, uid))
        tests_uid = stack.enter_context(spare_user())
        tests_watch = stack.enter_context(started(tests, backend, tests_uid))
        for channel in (calls, answers):
            channel.close()
        follow(
            tests_watch,
            candidate_watch,
            until=lambda: not tests_watch.running or candidate_watch.ended_by is not None,
        )
        return _verdict(tests_watch, candidate_watch, backend, proof)


class _Channel:
    """A pipe between two sandboxes; this process only creates it."""

    def __init__(self, stack: ExitStack) -> None:
        self.read, self.write = os.pipe()
        self._open = [self.read, self.write]
        stack.callback(self.close)

    def close(self) -> None:
        while self._open:
            os.close(self._open.pop())


def _verdict(tests: Watch, candidate: Watch, backend: Backend, proof: str) -> ProgramVerdict:
    if not tests.running and result_of(tests, backend).return_code == examiner.GONE:
        deadline = time.monotonic() + _GRACE
        follow(candidate, until=lambda: not candidate.running or time.monotonic() > deadline)
    told = None if tests.running else result_of(tests, backend)
    ended = None if candidate.running else result_of(candidate, backend)
    ruling = _ruling(told, ended, proof)
    detail = b"".join(part for o in (ended, told) if o for part in (o.stdout, o.stderr))
    text = detail.decode(errors="replace").replace(proof, "").strip()
    return ProgramVerdict(ruling, text[-_DETAIL:], max(tests.seconds, candidate.seconds))


def _ruling(tests: ProcessResult | None, candidate: ProcessResult | None, proof: str) -> Ruling:
    """The ruling from both results; None for a side that was still running when the other ended."""
    for side in (candidate, tests):
        if side is not None and side.status in LIMIT_RULINGS:
            return LIMIT_RULINGS[side.status]
    if tests is None or tests.return_code is None:
        return Ruling.ERROR
    if tests.return_code == 0 and proof.encode() in tests.stdout.splitlines()[-1:]:
        return Ruling.PASSED
    return _RULINGS.get(tests.return_code, Ruling.ERROR)


def helpers(given: str) -> str:
    """Definitions that a prompt gives in full: all but the last, which the model must complete."""
    for ending in ("", "\n    pass\n"):
        try:
            tree = ast.parse(given + ending)
        except (SyntaxError, ValueError):
            continue
        tree.body = tree.body[:-1]
        return ast.unparse(tree)
    return ""


def _script(module: str, files: dict[str, str], limits: Limits, descriptors: tuple[int, int]) -> Job:
    argv = (interpreter(), *BARE, _SCRIPT, *map(str, descriptors))
    return Job(
        argv,
        {**files, _SCRIPT: _bundle(module)},
        limits,
        disk_bytes=DISK_BYTES,
        descriptors=descriptors,
    )


@cache
def _bundle(module: str) -> bytes:
    """A module of `inside` with the module that it imports, compiled once for all sandboxes."""
    names = ("harness.sandbox.inside.plain_data", f"harness.sandbox.inside.{module}")
    return marshal.dumps([(name, _code(name)) for name in names])


def _code(name: str) -> CodeType:
    spec = util.find_spec(name)
    assert spec is not None and spec.origin is not None
    return compile(Path(spec.origin).read_bytes(), f"{name}.py", "exec")
