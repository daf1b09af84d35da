"""Detection of installed language toolchains, and the packages that are missing.

python -m harness.sandbox.languages.toolchains [LANGUAGE ...]

prints the missing Debian packages of these languages (default: all).
"""

import glob
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.sandbox.backends.base import PATH
from harness.sandbox.job import Bind
from harness.sandbox.languages.table import LANGUAGES, Command, Language, language_named

INSTALL_ALL = ".ci/toolchains"  # a script that uses `main`
_PATIENCE = 60.0  # seconds for a version command on a busy machine


@dataclass(frozen=True)
class Toolchain:
    """An installed language: the output of its version command and the folders that the sandbox must bind."""

    language: Language
    version: str
    sysroot: str
    binds: tuple[Bind, ...]

    def command(self, command: Command, **others: str) -> Command:
        """A command of the language with its placeholders filled in."""
        return tuple(word.format(sysroot=self.sysroot, **others) for word in command)


@cache
def toolchain(name: str) -> Toolchain | None:
    """The toolchain of a language; None if part of it is missing (`lacks` lists the parts)."""
    language = language_named(name)
    if lacks(name):
        return None
    sysroot = _said_by(language, language.sysroot) if language.sysroot else ""
    version = _said_by(language, language.version)
    return Toolchain(language, version, sysroot, tuple(_binds(language, sysroot)))


@cache
def lacks(name: str) -> tuple[str, ...]:
    """Commands and files of a language that are missing or not visible in the sandbox."""
    language = language_named(name)
    commands = dict.fromkeys(_programs(language))
    missing = [command for command in commands if shutil.which(command, path=_path(language)) is None]
    return (*missing, *(place for place in language.needs if not Path(place).exists()))


def install_command(languages: Iterable[str]) -> str:
    """The command that installs these languages' toolchains on Debian or Ubuntu."""
    packages = dict.fromkeys(package for name in languages for package in language_named(name).packages)
    return f"sudo apt-get install --no-install-recommends {' '.join(packages)}"


def missing_languages() -> list[str]:
    """Names of the languages without a complete toolchain, in the order of the table."""
    return [name for name in LANGUAGES if toolchain(name) is None]


def _programs(language: Language) -> list[str]:
    """Commands that must be installed, without those that the compile step creates."""
    heads = (language.compile[0], language.run[0], language.version[0])
    return [head for head in heads if "/" not in head]


def _path(language: Language) -> str | None:
    """Search path for commands: the sandbox's PATH, or this user's if the language has a `sysroot`."""
    return None if language.sysroot else PATH


def _binds(language: Language, sysroot: str) -> Iterable[Bind]:
    places = [place for pattern in language.shown for place in sorted(glob.glob(pattern))]  # noqa: PTH207
    outside = [sysroot] if sysroot and not Path(sysroot).is_relative_to("/usr") else []
    return (Bind(Path(place)) for place in (*places, *outside))


def _said_by(language: Language, command: Command) -> str:
    """First nonempty line of a command's output, run outside the sandbox."""
    found = shutil.which(command[0], path=_path(language)) or command[0]
    argv = [found, *command[1:]]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return next((line.strip() for line in lines if line.strip()), "")


def main(names: Sequence[str]) -> None:
    wanted = [n for n in missing_languages() if not names or n in names]
    print(*dict.fromkeys(package for name in wanted for package in LANGUAGES[name].packages))


if __name__ == "__main__":
    main(sys.argv[1:])
