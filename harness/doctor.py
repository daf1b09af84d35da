"""Checks of this machine: libraries, devices, memory, network, sandbox and languages, with remedies.

Libraries are checked without importing them, except torch, which is needed to list the devices.
"""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from time import monotonic

from harness.core.redaction import redact
from harness.data.mirror import LAYOUT, mirrored_datasets
from harness.sandbox.languages.table import LANGUAGES
from harness.sandbox.languages.toolchains import INSTALL_ALL, install_command, lacks, toolchain
from harness.sandbox.pool import cores

DISTRIBUTION = "fusegauge"
INSTALL_AGAIN = "install FuseGauge again; in a checkout: pip install --upgrade -e . -c constraints.txt"
NEEDED_PYTHON = (3, 11)
MEMORY_FOR_POCKET = 6 * 10**9  # bytes: training 135M parameters with AdamW, and a model of 270M loaded
DISK_FOR_POCKET = 8 * 10**9  # bytes: wheels, converted models, distributions, two checkpoints
HUB_TIMEOUT = 4.0  # seconds
OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")


@dataclass(frozen=True)
class MachineCheck:
    """The result of one check; `remedy` is empty if `ok`."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(results: Path, mirror: Path | None) -> list[MachineCheck]:
    """Check everything that a run may need, in the order in which it is needed."""
    looks: list[Callable[[], MachineCheck]] = [
        _python,
        _libraries,
        _device,
        _cores,
        _memory,
        lambda: _disk(results),
        _pip,
        lambda: _hub(mirror),
        lambda: _mirror(mirror),
        _mlflow,
        _isolation,
    ]
    return [look() for look in looks]


def _finding(name: str, ok: bool, detail: str, remedy: str) -> MachineCheck:
    return MachineCheck(name, ok, detail, "" if ok else remedy)


def _python() -> MachineCheck:
    wanted = ".".join(map(str, NEEDED_PYTHON))
    ok = sys.version_info[:2] >= NEEDED_PYTHON
    return _finding(
        "Python", ok, f"{platform.python_version()} ({sys.executable})", f"install Python {wanted} or newer"
    )


def _libraries() -> MachineCheck:
    try:
        problems = list(_library_problems(metadata.requires(DISTRIBUTION) or []))
    except metadata.PackageNotFoundError:
        return MachineCheck(
            "libraries", False, f"{DISTRIBUTION} is not installed in this environment", "pip install -e ."
        )
    detail = "; ".join(problems) or "all installed, in versions that fit"
    return _finding("libraries", not problems, detail, INSTALL_AGAIN)


def _library_problems(requirements: list[str]) -> Iterator[str]:
    from packaging.requirements import Requirement

    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield f"{requirement.name} is missing"
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement.name} {version} is not {requirement.specifier}"


def _device() -> MachineCheck:
    if util.find_spec("torch") is None:
        return MachineCheck("device", False, "torch is missing", INSTALL_AGAIN)
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory
        names = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}, {memory / 1e9:.0f} GB"
    else:
        names = (
            "Apple GPU (mps)"
            if torch.backends.mps.is_available()
            else "CPU only: enough for micro and pocket"
        )
    return MachineCheck("device", True, f"torch {torch.__version__}, {names}")


def _cores() -> MachineCheck:
    return MachineCheck("cores", True, str(cores()))


def _memory() -> MachineCheck:
    import psutil

    memory = psutil.virtual_memory()
    detail = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free"
    remedy = (
        f"micro runs; pocket needs {MEMORY_FOR_POCKET / 1e9:.0f} GB: close programs, or lower its batch size"
    )
    return _finding("memory", memory.available >= MEMORY_FOR_POCKET, detail, remedy)


def _disk(results: Path) -> MachineCheck:
    place = next(p for p in (results, *results.resolve().parents) if p.exists())
    free = shutil.disk_usage(place).free
    if not os.access(place, os.W_OK):
        return MachineCheck(
            "disk", False, f"{place} cannot be written to", "choose another folder with --results"
        )
    remedy = (
        f"pocket needs {DISK_FOR_POCKET / 1e9:.0f} GB: free some, or choose another folder with --results"
    )
    return _finding("disk", free >= DISK_FOR_POCKET, f"{free / 1e9:.0f} GB free at {place}", remedy)


def _pip() -> MachineCheck:
    there = util.find_spec("pip") is not None
    detail = (
        "installed: models in wheels can be fetched"
        if there
        else "missing: models in wheels cannot be fetched"
    )
    return _finding("pip", there, detail, f"{sys.executable} -m ensurepip")


def _hub(mirror: Path | None) -> MachineCheck:
    switched_off = [
        name for name in OFFLINE_VARIABLES if os.environ.get(name, "").lower() in ("1", "true", "yes", "on")
    ]
    remedy = "use --mirror, or run `prepare` where the hub can be reached; micro needs neither"
    if switched_off:
        return _finding("hub", mirror is not None, f"not checked: {', '.join(switched_off)} is set", remedy)
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    problem = _unreachable(endpoint)
    detail = f"{endpoint} cannot be reached ({problem})" if problem else f"{endpoint} answers"
    return _finding("hub", not problem or mirror is not None, redact(detail), remedy)


def _unreachable(url: str) -> str:
    """Why the address cannot be reached; "" if there is any answer."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    try:
        urlopen(Request(url, method="HEAD"), timeout=HUB_TIMEOUT).close()
    except HTTPError:  # an error status is an answer
        return ""
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
    return ""


def _mirror(mirror: Path | None) -> MachineCheck:
    if mirror is None:
        return MachineCheck("mirror", True, "none given (--mirror or FUSEGAUGE_MIRROR); the hub is used")
    if not mirror.is_dir():
        return MachineCheck("mirror", False, f"no folder {mirror}", "correct --mirror or FUSEGAUGE_MIRROR")
    datasets = mirrored_datasets(mirror)
    detail = f"{len(datasets)} data sets in {mirror}"
    return _finding("mirror", bool(datasets), detail, f"it must hold {LAYOUT}")


def _mlflow() -> MachineCheck:
    try:
        version = metadata.version("mlflow")
    except metadata.PackageNotFoundError:
        return MachineCheck(
            "MLflow", False, "missing: results are written, but not sent to MLflow", INSTALL_AGAIN
        )
    uri = redact(os.environ.get("MLFLOW_TRACKING_URI", ""))
    return MachineCheck(
        "MLflow", True, f"{version}, {f'tracking to {uri}' if uri else 'a database beside the results'}"
    )


def _isolation() -> MachineCheck:
    """Which sandbox runs model-written code on this machine, and why better ones do not work."""
    from harness.sandbox import examined

    found = examined()
    lacks = "; ".join(f"{each.backend.shown}: {each.lack}" for each in found if each.lack)
    best = next((each.backend for each in found if not each.lack), None)
    remedy = "install bubblewrap, and allow this user to create namespaces (docs/operations.md)"
    if best is None:
        detail = f"no sandbox: code benchmarks are not run ({lacks or f'none for {platform.system()}'})"
        return MachineCheck("isolation of code", False, detail, remedy)
    detail = f"{best.shown}, tested with a program that tries to escape" + (f" ({lacks})" if lacks else "")
    return _finding("isolation of code", best.mode == "sandbox", detail, remedy)


def examine_languages(prove: bool = False) -> list[MachineCheck]:
    """One check per language, in the table's order.

    Args:
        prove: also run a right and a wrong program of each in the sandbox, which takes seconds.

    Raises:
        InputError: `prove` is set, but no sandbox works here.
    """
    return [_language_finding(name, prove) for name in LANGUAGES]


def _language_finding(name: str, prove: bool) -> MachineCheck:
    tools = toolchain(name)
    title = LANGUAGES[name].title
    if tools is None:
        what = f"no {', '.join(lacks(name))}: its benchmarks are left out"
        return MachineCheck(
            title, False, what, f"{install_command([name])} ({INSTALL_ALL}, in a checkout, installs all)"
        )
    return _proven(title, name, tools.version) if prove else MachineCheck(title, True, tools.version)


def _proven(title: str, name: str, version: str) -> MachineCheck:
    from harness.sandbox.languages.self_test import flaw

    started = monotonic()
    if found := flaw(name):
        return MachineCheck(title, False, f"{version}, but in the sandbox {found}", install_command([name]))
    seconds = monotonic() - started
    return MachineCheck(
        title, True, f"{version}; a right program passes, a wrong one fails ({seconds:.1f} s)"
    )
