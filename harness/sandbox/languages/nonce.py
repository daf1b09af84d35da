"""Verdicts on programs that contain their tests, in any language, by a random word printed after the tests.

A program passes if its return code is 0 *and* the word was printed, so exiting early with code 0 is not a
pass. The source contains the word in two halves, so that a program that prints its own source does not print
the word. Two kinds of false pass remain possible: a program that reads its source and joins the halves, and
an object that compares equal to everything. Python programs are judged differently (`python_program`).
"""

import secrets
from dataclasses import replace

from harness.sandbox.backends.base import Backend
from harness.sandbox.executor import execute
from harness.sandbox.job import Job, ProcessResult
from harness.sandbox.program_verdict import LIMIT_RULINGS, ProgramVerdict, Ruling

FIRST_HALF = "FUSEGAUGE_FIRST_HALF"  # in a job's files: the last occurrence of each becomes half of the word
SECOND_HALF = "FUSEGAUGE_SECOND_HALF"
_HALF_BYTES = 8
_DETAIL = 2000  # bytes of output kept in a verdict


def judge_job(job: Job, backend: Backend, uid: int) -> ProgramVerdict:
    """Run a program whose source contains `FIRST_HALF` and `SECOND_HALF`, and judge it.

    A program that does not compile or returns another code is ruled an error, never a failure: from outside,
    a failed test looks like any other error.

    Raises:
        SandboxError: the sandbox failed.
    """
    first, second = secrets.token_hex(_HALF_BYTES), secrets.token_hex(_HALF_BYTES)
    files = {name: _filled(data, first, second) for name, data in job.files.items()}
    outcome = execute(replace(job, files=files), backend, uid)
    text = (outcome.stdout + outcome.stderr).decode(errors="replace")
    detail = text.replace(first, "").replace(second, "").strip()[-_DETAIL:]
    return ProgramVerdict(_ruling(outcome, first + second), detail, outcome.wall_seconds, outcome.compiled)


def _filled(data: bytes | str, first: str, second: str) -> bytes | str:
    """Replace the last placeholder of each kind: the model's code, before the tests, may contain them too."""
    if isinstance(data, bytes):
        return data
    for mark, half in ((FIRST_HALF, first), (SECOND_HALF, second)):
        before, found, after = data.rpartition(mark)
        data = before + half + after if found else data
    return data


def _ruling(outcome: ProcessResult, word: str) -> Ruling:
    if outcome.status in LIMIT_RULINGS:
        return LIMIT_RULINGS[outcome.status]
    lines = {line.strip() for stream in (outcome.stdout, outcome.stderr) for line in stream.splitlines()}
    proven = outcome.status == "ok" and outcome.compiled and word.encode() in lines
    return Ruling.PASSED if proven else Ruling.ERROR
