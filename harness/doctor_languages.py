"""Which programming languages this machine can run, each lack with its remedy; on request, proven."""

from time import monotonic

from harness.doctor import Finding
from harness.sandbox.languages import LANGUAGES
from harness.sandbox.toolchains import INSTALL_ALL, install_command, lacks, toolchain


def examine_languages(prove: bool = False) -> list[Finding]:
    """One finding per language, in the table's order.

    Args:
        prove: run a right and a wrong program of each in the sandbox (seconds), rather than only look.

    Raises:
        InputError: proving was asked for, and no sandbox works here.
    """
    return [_finding(name, prove) for name in LANGUAGES]


def _finding(name: str, prove: bool) -> Finding:
    tools = toolchain(name)
    title = LANGUAGES[name].title
    if tools is None:
        what = f"no {', '.join(lacks(name))}: its benchmarks are left out"
        return Finding(
            title, False, what, f"{install_command([name])} ({INSTALL_ALL}, in a checkout, installs all)"
        )
    return _proven(title, name, tools.version) if prove else Finding(title, True, tools.version)


def _proven(title: str, name: str, version: str) -> Finding:
    from harness.sandbox.trials import flaw

    started = monotonic()
    if found := flaw(name):
        return Finding(title, False, f"{version}, but in the sandbox {found}", install_command([name]))
    seconds = monotonic() - started
    return Finding(title, True, f"{version}; a right program passes, a wrong one fails ({seconds:.1f} s)")
