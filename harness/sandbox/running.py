"""The room's front door: jobs in, outcomes out."""

from collections.abc import Sequence

from harness.sandbox.backend import Backend
from harness.sandbox.choice import required
from harness.sandbox.executor import execute
from harness.sandbox.job import Job, Outcome
from harness.sandbox.pool import in_order, settled


def run(job: Job, backend: Backend | None = None) -> Outcome:
    """Run a job in a fresh sandbox; if it times out, once more alone, and that counts.

    Args:
        backend: how it is confined; None for the best of this machine.

    Raises:
        InputError: no sandbox works here.
        SandboxError: the sandbox failed. Nothing can be said of the program.
    """
    chosen = backend or required()
    return settled(lambda uid: execute(job, chosen, uid), lambda outcome: outcome.status == "timeout")


def run_all(jobs: Sequence[Job], backend: Backend | None = None) -> list[Outcome]:
    """As `run` each, as many at a time as there are cores; outcomes in the order of `jobs`."""
    chosen = backend or required()
    return in_order(lambda job: run(job, chosen), jobs)
