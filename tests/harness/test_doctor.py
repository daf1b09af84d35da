"""What the doctor finds: every lack has a remedy, and nothing that is there has one."""

import sys
from pathlib import Path

import pytest

from harness import doctor
from harness.doctor import MachineCheck, examine
from harness.sandbox.backends.bubblewrap import Bubblewrap
from harness.sandbox.backends.landlock import Landlock
from harness.sandbox.backends.selection import Examined


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in doctor.OFFLINE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(doctor, "_unreachable", lambda url: f"no route to {url}")


def test_everything_is_looked_at_and_every_lack_has_a_remedy(tmp_path: Path) -> None:
    findings = examine(tmp_path / "not/yet/there", None)
    names = [f.name for f in findings]
    assert len(names) == len(set(names)) == 11
    assert all(f.detail for f in findings)
    assert all(bool(f.remedy) != f.ok for f in findings)


def test_an_old_python_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._python().ok
    monkeypatch.setattr(sys, "version_info", (3, 10, 0, "final", 0))
    assert "3.11" in doctor._python().remedy


def test_libraries_are_compared_with_their_lower_bounds() -> None:
    wanted = [
        "pydantic>=2",
        "pytest>=1000",
        "no-such-library>=1",
        "ghost>=1; extra == 'dev'",
        "gone; python_version < '3'",
    ]
    problems = list(doctor._library_problems(wanted))
    assert len(problems) == 2
    assert problems[0].startswith("pytest ")
    assert problems[0].endswith(" is not >=1000")
    assert problems[1] == "no-such-library is missing"


def test_a_distribution_that_is_not_installed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DISTRIBUTION", "no-such-distribution")
    assert doctor._libraries() == MachineCheck(
        "libraries", False, "no-such-distribution is not installed in this environment", "pip install -e ."
    )


def test_little_memory_and_disk_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MEMORY_FOR_POCKET", 10**18)
    monkeypatch.setattr(doctor, "DISK_FOR_POCKET", 10**18)
    assert not doctor._memory().ok
    assert "--results" in doctor._disk(tmp_path).remedy


def test_a_hub_out_of_reach_is_a_lack_only_without_a_mirror(tmp_path: Path) -> None:
    assert not doctor._hub(None).ok
    assert doctor._hub(tmp_path).ok
    assert "no route" in doctor._hub(tmp_path).detail


def test_offline_variables_are_named_and_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(url: str) -> str:
        raise AssertionError(url)

    monkeypatch.setattr(doctor, "_unreachable", asked)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in doctor._hub(None).detail


def test_passwords_of_servers_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host:5000")
    monkeypatch.setenv("HF_ENDPOINT", "http://me:secret@hub")
    assert "http://me:***@host:5000" in doctor._mlflow().detail
    assert "secret" not in doctor._mlflow().detail + doctor._hub(None).detail


def test_mirrors_are_counted_by_data_set(tmp_path: Path) -> None:
    for path in ("a/one/x/test.jsonl", "a/one/y/test.jsonl", "b/two/test.jsonl"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("{}\n")
    assert doctor._mirror(tmp_path).detail.startswith("2 data sets")
    assert not doctor._mirror(tmp_path / "a/one/x/nothing").ok
    (tmp_path / "empty").mkdir()
    assert not doctor._mirror(tmp_path / "empty").ok


def test_a_missing_pip_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "ensurepip" in doctor._pip().remedy
    assert not doctor._device().ok


BWRAP = Bubblewrap("/opt/bwrap")


@pytest.mark.parametrize(
    ("found", "ok", "said"),
    [
        ((Examined(BWRAP, ""),), True, "bubblewrap (/opt/bwrap), tested"),
        ((Examined(BWRAP, "no namespaces"), Examined(Landlock(), "")), False, "/opt/bwrap): no namespaces"),
        ((Examined(BWRAP, "no namespaces"), Examined(Landlock(), "too old")), False, "not run (bubblewrap"),
        ((), False, "no sandbox"),
    ],
)
def test_which_sandbox_works_is_told_and_what_the_better_ones_lack(
    found: tuple[Examined, ...], ok: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reduced one works, but is a lack."""
    monkeypatch.setattr("harness.sandbox.examined", lambda: found)
    finding = doctor._isolation()
    assert finding.ok is ok
    assert said in finding.detail
    assert bool(finding.remedy) != ok
