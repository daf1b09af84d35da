"""The only room that executes model-written code: one fresh sandbox per program.

A `Job` is run by `run` or, many side by side, by `run_all`; what becomes of it is an `Outcome`. Where no
sandbox works, that is an error. What holds and what does not: docs/security.md.
"""

from harness.sandbox.code_eval import CodeEval, pass_at_k
from harness.sandbox.job import JOB_FOLDER, Bind, Job, Limits, Outcome, Step
from harness.sandbox.running import run, run_all

__all__ = [
    "JOB_FOLDER",
    "Bind",
    "CodeEval",
    "Job",
    "Limits",
    "Outcome",
    "Step",
    "pass_at_k",
    "run",
    "run_all",
]
