"""Which languages a machine has, what the others lack, and how to get them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import doctor as doctor_languages
from harness.core.exceptions import InputError
from harness.doctor import examine_languages
from harness.sandbox import required
from harness.sandbox.languages import self_test as trials
from harness.sandbox.languages import toolchains
from harness.sandbox.languages.programs import job_of
from harness.sandbox.languages.table import LANGUAGES
from harness.sandbox.languages.toolchains import install_command, lacks, missing_languages, toolchain
from tests.harness.sandbox.languages.machine import require

TRIAL = trials.trial


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A machine without commands."""
    toolchain.cache_clear()
    lacks.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(toolchains, "PATH", str(tmp_path))
        patch.setenv("PATH", str(tmp_path))
        yield
    toolchain.cache_clear()
    lacks.cache_clear()


@pytest.mark.usefixtures("bare")
def test_a_bare_machine_lacks_every_language_and_every_finding_has_its_remedy() -> None:
    assert missing_languages() == list(LANGUAGES)
    findings = examine_languages()
    assert [f.name for f in findings] == [language.title for language in LANGUAGES.values()]
    for finding, language in zip(findings, LANGUAGES.values(), strict=True):
        assert not finding.ok
        assert "its benchmarks are left out" in finding.detail
        assert "apt-get install" in finding.remedy
        assert all(package in finding.remedy for package in language.packages)
        assert ".ci/toolchains" in finding.remedy


@pytest.mark.usefixtures("bare")
def test_a_program_of_a_missing_language_names_what_is_missing() -> None:
    with pytest.raises(InputError, match="Ruby cannot be run here: no ruby") as caught:
        job_of(trials.trial("ruby", 2))
    assert "ruby-test-unit" in caught.value.remedy


@pytest.mark.usefixtures("bare")
def test_what_is_to_be_installed_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    toolchains.main(["javascript", "typescript"])
    assert capsys.readouterr().out.split() == ["nodejs", "node-lodash", "node-typescript"]
    toolchains.main([])
    everything = capsys.readouterr().out.split()
    assert len(everything) == len(set(everything))
    assert set(everything) == {package for language in LANGUAGES.values() for package in language.packages}


@pytest.mark.slow
def test_what_tests_need_beside_the_commands_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    require("java")
    lacks.cache_clear()
    entry = LANGUAGES["java"].__class__(**{**vars(LANGUAGES["java"]), "needs": ("/no/such.jar",)})
    monkeypatch.setattr(toolchains, "language_named", lambda name: entry)
    assert lacks("java") == ("/no/such.jar",)
    lacks.cache_clear()


def test_packages_of_several_languages_come_in_one_command() -> None:
    assert (
        install_command(["go", "go_test", "cpp"])
        == "sudo apt-get install --no-install-recommends golang-go g++"
    )


def test_proving_tells_a_toolchain_that_cannot_tell_right_from_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    require("python")
    monkeypatch.setattr(doctor_languages, "LANGUAGES", {"python": LANGUAGES["python"]})
    [finding] = examine_languages(prove=True)
    assert finding.ok
    assert "a right program passes, a wrong one fails" in finding.detail
    monkeypatch.setattr(trials, "trial", lambda language, total: TRIAL(language, 2))
    [finding] = examine_languages(prove=True)
    assert not finding.ok
    assert "in the sandbox a wrong program passes" in finding.detail


def test_a_language_that_its_sandbox_breaks_is_no_language_to_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every program would fail, of every model, and the table would show zeros."""
    require("python")
    backend = required()
    trials.require_trial("python", backend)
    monkeypatch.setattr(trials, "trial", lambda language, total: TRIAL(language, 3))
    with pytest.raises(InputError, match=r"Python cannot be judged here .*: a right program does"):
        trials.require_trial("python", backend)
