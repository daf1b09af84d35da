"""Judges a program that holds its own tests, in any language, by a random word it prints at its very end.

It passes when its return code is 0 *and* the word was printed: leaving early, however successfully, is no
pass. The source holds the word in two halves, so that a program which echoes its source does not print it.
What this cannot stop: a program that reads its own source and puts the halves together, and tests that are
fooled by an object which says that it equals everything. Python is judged otherwise (`python_program`).
"""

import secrets
from dataclasses import replace

from harness.sandbox.backends.base import Backend
from harness.sandbox.executor import execute
from harness.sandbox.job import Job, ProcessResult
from harness.sandbox.program_verdict import LIMIT_RULINGS, ProgramVerdict, Ruling

FIRST_HALF = "FUSEGAUGE_FIRST_HALF"  # in a job's files: each becomes half of the word, where it stands last
SECOND_HALF = "FUSEGAUGE_SECOND_HALF"
_HALF_BYTES = 8
_DETAIL = 2000  # bytes of output that a verdict keeps


def judge_job(job: Job, backend: Backend, uid: int) -> ProgramVerdict:
    """Run a program whose source holds `FIRST_HALF` and `SECOND_HALF` and judge it.

    A program that does not compile, or ends with another return code, is an error, not a failure: from
    outside, a test that did not hold looks the same as any other end.

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
    """The last of each mark filled in: tests come after what the model wrote, which may hold the mark too."""
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
