"""Programs in any language with their tests: building the source and the job, and judging many of them.

Code that prints the two halves of a random word (`nonce`) is added after the last test; the language's entry
in `table` has this code.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.exceptions import InputError
from harness.sandbox.backends.base import Backend
from harness.sandbox.backends.selection import required
from harness.sandbox.job import Job, Limits, Step
from harness.sandbox.languages.nonce import FIRST_HALF, SECOND_HALF
from harness.sandbox.languages.table import language_named
from harness.sandbox.languages.toolchains import Toolchain, install_command, lacks, toolchain
from harness.sandbox.pool import in_order
from harness.sandbox.program_verdict import ProgramVerdict
from harness.sandbox.run import judge

_CLASS = re.compile(r"^(?:final |abstract )*class (\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Program:
    """A model's code, including the prompt that it continues, and the tests to append."""

    language: str
    candidate: str
    tests: str


def judge_programs(
    programs: Sequence[Program], backend: Backend | None = None, limits: Limits | None = None
) -> list[ProgramVerdict]:
    """Run programs, one per core at a time; verdicts in the order of `programs`.

    Args:
        backend: sandbox backend; None for the best one on this machine.
        limits: resource limits of the run step; None for each language's own.

    Raises:
        InputError: no sandbox works here, or a language's toolchain is missing.
        SandboxError: the sandbox failed, so there are no verdicts.
    """
    chosen = backend or required()
    jobs = [(job_of(program, limits), required_toolchain(program.language).version) for program in programs]
    return in_order(lambda job: judge(job[0], chosen, toolchain=job[1]), jobs)


def source_of(program: Program) -> str:
    """The whole program: candidate, tests, and the code that prints the word's two halves."""
    proof = language_named(program.language).proof
    code = proof.code.format(first=FIRST_HALF, second=SECOND_HALF)
    end = _end_of_tests(program, proof.braces)
    return f"{program.candidate}\n{program.tests[:end]}\n{code}\n{program.tests[end:]}\n"


def _end_of_tests(program: Program, braces: int) -> int:
    """Offset in the tests at which the last test ends: before the last `braces` closing braces."""
    end = len(program.tests)
    for _ in range(braces):
        end = program.tests.rfind("}", 0, max(end, 0))
    if end < 0:
        raise InputError(
            f"tests in {program.language} close fewer than {braces} blocks: {program.tests[-80:]!r}",
            remedy="check the rows of the task's dataset",
        )
    return end


def job_of(program: Program, limits: Limits | None = None) -> Job:
    """The job that compiles and runs a program.

    Args:
        limits: resource limits of the run step; None for the language's own.

    Raises:
        InputError: the language is unknown or its toolchain is missing.
    """
    tools = required_toolchain(program.language)
    language, source = tools.language, source_of(program)
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
    """The toolchain of a language. If it is missing, InputError with the command that installs it."""
    tools = toolchain(name)
    if tools is None:
        raise InputError(
            f"{language_named(name).title} cannot be run here: no {', '.join(lacks(name))}",
            remedy=install_command([name]),
        )
    return tools


def _main_class(source: str) -> str:
    """Name of the last class in a file, which contains the tests; "" if there is none."""
    found: list[str] = _CLASS.findall(source)
    return found[-1] if found else ""
