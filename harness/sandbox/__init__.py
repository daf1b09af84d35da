"""The only room that executes model-written code.

Limits, not isolation: a program runs as this user, in a fresh process with bounded time, memory, files and
output (`executor`). It can read what the user can read and reach the network, and one written against this
very driver can forge a pass. So it serves programs of models that are trusted (the micro suite's own), and
others only where the user asked for it by `--unsafe-no-sandbox`.
"""

from harness.sandbox.code_eval import CodeEval, pass_at_k
from harness.sandbox.executor import Limits, Outcome, Status, run_program, run_programs

__all__ = ["CodeEval", "Limits", "Outcome", "Status", "pass_at_k", "run_program", "run_programs"]
