"""The room's front door: jobs in, outcomes out; programs in, verdicts out."""

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
    """Run a job in a fresh sandbox; if it times out, once more alone, and that counts.

    Args:
        backend: how it is confined; None for the best of this machine.

    Raises:
        InputError: no sandbox works here.
        SandboxError: the sandbox failed. Nothing can be said of the program.
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
    """Whether a program does what its tests ask, each time in fresh sandboxes, time-outs settled as by `run`.

    Args:
        program: a Python program beside its tests, or a job that holds them and the marks of `nonce`.
        limits: of a Python program; a job has its own.
        toolchain: version of what compiles or runs a job.
        cache: where equal programs find their verdict; None to run each.

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
    """As `judge` each, as many at a time as there are cores; verdicts in the order of `programs`."""
    chosen = backend or required()
    return in_order(lambda p: judge(p, chosen, limits=limits, toolchain=toolchain, cache=cache), programs)


def _judged(program: JudgedProgram, backend: Backend, uid: int, limits: Limits) -> ProgramVerdict:
    if isinstance(program, PythonProgram):
        return judge_python(program, backend, uid, limits)
    return judge_job(program, backend, uid)
