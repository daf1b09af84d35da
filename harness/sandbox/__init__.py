"""The only room that executes model-written code: one fresh sandbox per program.

A `Job` is run by `run` or, many side by side, by `run_all`; what becomes of it is an `Outcome`. Where no
sandbox works, that is an error. What holds and what does not: docs/security.md.
"""

from harness.sandbox.backend import Backend
from harness.sandbox.choice import confining, examined, required
from harness.sandbox.code_eval import CodeEval, pass_at_k
from harness.sandbox.job import JOB_FOLDER, Bind, Job, Limits, Outcome, Step
from harness.sandbox.nonce import FIRST_HALF, SECOND_HALF
from harness.sandbox.python_program import PythonProgram
from harness.sandbox.running import judge, judge_all, run, run_all
from harness.sandbox.unconfined import Unconfined
from harness.sandbox.verdict import Ruling, Verdict

__all__ = [
    "FIRST_HALF",
    "JOB_FOLDER",
    "SECOND_HALF",
    "Backend",
    "Bind",
    "CodeEval",
    "Job",
    "Limits",
    "Outcome",
    "PythonProgram",
    "Ruling",
    "Step",
    "Unconfined",
    "Verdict",
    "confining",
    "examined",
    "judge",
    "judge_all",
    "pass_at_k",
    "required",
    "run",
    "run_all",
]
