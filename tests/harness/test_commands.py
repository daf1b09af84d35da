"""What the shell gets when something goes wrong: one message, the documented exit code, no traceback."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from fusion.errors import FusionError
from harness.commands import ClearErrors, main
from harness.core.exceptions import NotComparableError, StoreError
from tests.conftest import CHECKOUT


def _command(error: BaseException) -> Result:
    program = ClearErrors()

    @program.command()
    def failing() -> None:
        raise error

    return CliRunner().invoke(program, ["failing"])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotComparableError("no", remedy="do this"), 3),
        (StoreError("no", remedy="do this"), 5),
        (FusionError("no", remedy="do this"), 2),
    ],
)
def test_known_errors_are_their_message_remedy_and_code(error: Exception, code: int) -> None:
    result = _command(error)
    assert (result.exit_code, result.stderr) == (code, "error: no\n  -> do this\n")


def test_an_interrupt_says_that_finished_stages_are_kept() -> None:
    result = _command(KeyboardInterrupt())
    assert result.exit_code == 130
    assert "finished stages are kept" in result.stderr


def test_options_that_do_not_parse_stay_misuse() -> None:
    assert _command(click.UsageError("which?")).exit_code == 2


def test_an_unexpected_error_is_no_regression_and_leaves_its_traceback_in_a_file() -> None:
    result = _command(KeyError("http://me:secret@host/"))
    assert result.exit_code == 5  # 1 is `check`'s word for a regression
    assert result.stderr.startswith("error: unexpected KeyError: ")
    assert "Traceback" not in result.output
    found = re.search(r"\S+fusegauge-\S+\.log", result.stderr)
    assert found is not None
    report = Path(found[0])
    text = report.read_text(encoding="utf-8")
    report.unlink()
    assert text.startswith("Traceback")
    assert "KeyError" in text
    assert "secret" not in text + result.output


def test_an_unexpected_error_is_shown_whole_where_no_file_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    result = _command(KeyError("x"))
    assert result.exit_code == 5
    assert "Traceback" in result.stderr


@pytest.mark.slow
def test_a_results_folder_that_cannot_be_made_is_misuse(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    arguments = ["run-suite", "micro", "--only", "corpus", "--results", str(tmp_path / "file/results")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "--results" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("program", [["cli.py"], ["-m", "harness"]], ids=" ".join)
def test_a_checkout_and_the_package_start_the_same_program(program: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *program, "suites"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (CliRunner().invoke(main, ["suites"]).stdout, "")
