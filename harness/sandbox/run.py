"""The main functions of the package: run jobs, and judge programs."""

from collections.abc import Sequence

from harness.sandbox.backends.base import Backend
from harness.sandbox.backends.selection import required
from harness.sandbox.cache import JudgedProgram, VerdictCache, key_of
from harness.sandbox.executor import execute
from harness.sandbox.job import Job, Limits, ProcessResult
from harness.sandbox.languages.nonce import judge_job
from harness.sandbox.pool import in_order, settled
from harness.sandbox.program_verdict import ProgramVerdict, Ruling
from harness.sandbox.python_program import LIMITS, PythonProgram, judge_python

_VERDICTS = VerdictCache()


def run(job: Job, backend: Backend | None = None) -> ProcessResult:
    """Run a job in a fresh sandbox; if it times out, run it again alone and return that result.

    Args:
        backend: sandbox backend; None for the best one on this machine.

    Raises:
        InputError: no sandbox works here.
        SandboxError: the sandbox failed, so there is no result for the program.
    """
    chosen = backend or required()
    return settled(lambda uid: execute(job, chosen, uid), lambda outcome: outcome.status == "timeout")


def judge(
    program: JudgedProgram,
    backend: Backend | None = None,
    *,
    limits: Limits = LIMITS,
    toolchain: str = "",
    cache: VerdictCache | None = _VERDICTS,
) -> ProgramVerdict:
    """Judge whether a program passes its tests, in fresh sandboxes; time-outs are repeated as in `run`.

    Args:
        program: a Python program and its tests, or a job that contains them and the placeholders of `nonce`.
        limits: resource limits of a Python program; a job has its own.
        toolchain: version of the compiler or interpreter of a job.
        cache: cached verdicts of equal programs; None to run every program.

    Raises:
        InputError, SandboxError: as `run`.
    """
    chosen = backend or required()
    key = key_of(program, limits, chosen, toolchain)
    if cache is not None and (known := cache.get(key)) is not None:
        return known
    verdict = settled(
        lambda uid: _judged(program, chosen, uid, limits), lambda found: found.ruling is Ruling.TIMEOUT
    )
    if cache is not None:
        cache.keep(key, verdict)
    return verdict


def judge_all(
    programs: Sequence[JudgedProgram],
    backend: Backend | None = None,
    *,
    limits: Limits = LIMITS,
    toolchain: str = "",
    cache: VerdictCache | None = _VERDICTS,
) -> list[ProgramVerdict]:
    """Judge many programs as `judge` does, one per core at a time; verdicts in the order of `programs`."""
    chosen = backend or required()
    return in_order(lambda p: judge(p, chosen, limits=limits, toolchain=toolchain, cache=cache), programs)


def _judged(program: JudgedProgram, backend: Backend, uid: int, limits: Limits) -> ProgramVerdict:
    if isinstance(program, PythonProgram):
        return judge_python(program, backend, uid, limits)
    return judge_job(program, backend, uid)
