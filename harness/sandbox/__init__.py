"""Running and judging model-written programs, each in a fresh sandbox; no other package runs them.

`run` runs a `Job` and returns a `ProcessResult`. `judge` returns the verdict on one program, `judge_all` on
many in parallel. If no sandbox works, that is an error. What the sandbox guarantees: docs/security.md.

Never here: models, suites, benchmarks; anything of this project but `core`.
"""

from harness.sandbox.backends.base import Backend
from harness.sandbox.backends.selection import confining, examined, required
from harness.sandbox.backends.unconfined import Unconfined
from harness.sandbox.code_eval import CodeEval, pass_at_k
from harness.sandbox.job import JOB_FOLDER, Bind, Job, Limits, ProcessResult, Step
from harness.sandbox.languages.nonce import FIRST_HALF, SECOND_HALF
from harness.sandbox.program_verdict import ProgramVerdict, Ruling
from harness.sandbox.python_program import PythonProgram
from harness.sandbox.run import judge, judge_all, run

__all__ = [
    "FIRST_HALF",
    "JOB_FOLDER",
    "SECOND_HALF",
    "Backend",
    "Bind",
    "CodeEval",
    "Job",
    "Limits",
    "ProcessResult",
    "ProgramVerdict",
    "PythonProgram",
    "Ruling",
    "Step",
    "Unconfined",
    "confining",
    "examined",
    "judge",
    "judge_all",
    "pass_at_k",
    "required",
    "run",
]
