"""A program of any language with its tests: as a job for the sandbox, and its verdict.

The proof (two random halves, printed together behind the tests) shows that the program came to the end of
its tests; the return code shows that none failed. Neither half alone, nor the source that a program prints of
itself, is the proof.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.errors import InputError
from harness.sandbox.backend import Backend
from harness.sandbox.job import Job, Limits, Outcome, Step
from harness.sandbox.languages import Proof, language_named
from harness.sandbox.running import run_all
from harness.sandbox.toolchains import Toolchain, install_command, lacks, toolchain

_HALF = 8  # bytes
_CLASS = re.compile(r"^(?:final |abstract )*class (\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Program:
    """What a model wrote, with the beginning that it was given, and the tests that follow it."""

    language: str
    candidate: str
    tests: str


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"  # a test did not hold, or the program did not come to its end
    NOT_COMPILED = "not compiled"
    TIMED_OUT = "timed out"  # compiling or running
    EXCEEDED = "exceeded"  # memory or output


@dataclass(frozen=True)
class Halves:
    """A proof that has not been put together."""

    first: str
    second: str

    @property
    def whole(self) -> bytes:
        return (self.first + self.second).encode()


def new_halves() -> Halves:
    return Halves(secrets.token_hex(_HALF), secrets.token_hex(_HALF))


def judge_programs(
    programs: Sequence[Program], limits: Limits | None = None, backend: Backend | None = None
) -> list[Verdict]:
    """Run programs, as many at a time as there are cores; verdicts in the order of `programs`.

    Args:
        limits: of running; None: each language's.
        backend: how they are confined; None for the best of this machine.

    Raises:
        InputError: no sandbox works here, or a language's toolchain is missing.
        SandboxError: the sandbox failed. Nothing can be said of the programs.
    """
    proofs = [new_halves() for _ in programs]
    jobs = [job_of(program, halves, limits) for program, halves in zip(programs, proofs, strict=True)]
    outcomes = run_all(jobs, backend)
    return [verdict_of(*each) for each in zip(programs, outcomes, proofs, strict=True)]


def source_of(program: Program, halves: Halves) -> str:
    """The whole program: candidate, tests, and the code that prints the proof behind them."""
    proof = language_named(program.language).proof
    code = proof.code.format(first=halves.first, second=halves.second)
    return f"{program.candidate}\n{_behind_tests(program, proof, code)}\n"


def _behind_tests(program: Program, proof: Proof, code: str) -> str:
    end = len(program.tests)
    for _ in range(proof.braces):
        end = program.tests.rfind("}", 0, max(end, 0))
    if end < 0:
        raise InputError(
            f"tests in {program.language} close fewer than {proof.braces} blocks: {program.tests[-80:]!r}",
            remedy="check the rows of the task's dataset",
        )
    return f"{program.tests[:end]}\n{code}\n{program.tests[end:]}"


def job_of(program: Program, halves: Halves, limits: Limits | None = None) -> Job:
    """The job that compiles and runs a program.

    Args:
        limits: of running; None: the language's.

    Raises:
        InputError: unknown language, or one whose toolchain is not here.
    """
    tools = required_toolchain(program.language)
    language, source = tools.language, source_of(program, halves)
    removed = () if language.keeps_source else (language.source, *language.files)
    return Job(
        argv=tools.command(language.run, main=_main_class(source)),
        files={language.source: source, **language.files},
        limits=limits or language.limits,
        binds=tools.binds,
        environment=language.environment,
        compile=Step(tools.command(language.compile), language.compile_limits, removes=removed),
        disk_bytes=language.disk_bytes,
    )


def required_toolchain(name: str) -> Toolchain:
    """The toolchain of a language. InputError where it is missing, with the command that installs it."""
    tools = toolchain(name)
    if tools is None:
        raise InputError(
            f"{language_named(name).title} cannot be run here: no {', '.join(lacks(name))}",
            remedy=install_command([name]),
        )
    return tools


def verdict_of(program: Program, outcome: Outcome, halves: Halves) -> Verdict:
    if outcome.status == "timeout":
        return Verdict.TIMED_OUT
    if not outcome.compiled:
        return Verdict.NOT_COMPILED
    if outcome.status in ("memory", "output"):
        return Verdict.EXCEEDED
    proof = language_named(program.language).proof
    printed = outcome.stdout if proof.stream == "stdout" else outcome.stderr
    proven = halves.whole in printed.splitlines()
    return Verdict.PASSED if outcome.status == "ok" and proven else Verdict.FAILED


def _main_class(source: str) -> str:
    """The last class of a file, which holds the tests; "" where there is none."""
    found: list[str] = _CLASS.findall(source)
    return found[-1] if found else ""
