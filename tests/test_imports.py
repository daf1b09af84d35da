"""What the import contracts in pyproject.toml (`lint-imports`) cannot say.

That `fusion` works where no harness can be imported: tests/fusion/test_library.py.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
INSIDE = ROOT / "harness" / "sandbox" / "inside"
TASKS = ROOT / "suites" / "tasks"
HEAVY = ("torch", "transformers", "datasets", "lm_eval", "mlflow", "matplotlib", "pandas")


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", INSIDE.glob("*.py"), ids=lambda p: p.stem)
def test_what_runs_inside_the_sandbox_needs_the_standard_library_only(path: Path) -> None:
    others = {m for m in _imports(path) if m.split(".")[0] not in sys.stdlib_module_names}
    assert all(m.startswith("harness.sandbox.inside.") for m in others), others


@pytest.mark.parametrize("path", TASKS.rglob("*.py"), ids=lambda p: p.stem)
def test_tasks_import_only_names_that_stay(path: Path) -> None:
    """lm-eval loads these files by their path: they belong to no package that a contract could name."""
    own = {m for m in _imports(path) if m.split(".")[0] in ("harness", "fusion", "suites", "tests")}
    assert own <= {"suites.support"}


@pytest.mark.parametrize(
    "code",
    [
        "from click.testing import CliRunner; from harness.commands import main;"
        "show = lambda *command: CliRunner().invoke(main, [*command, '--help']).exit_code;"
        "assert [show(name) for name in main.commands] == [0] * len(main.commands);"
        "assert show('baseline', 'save') == 0;",
        "from harness.suite.load import bundled_suites; bundled_suites();",
        "import harness.core.record, harness.core.run_files;",
    ],
    ids=["--help", "listing suites", "core"],
)
def test_it_needs_no_heavy_library(code: str) -> None:
    """In a fresh interpreter: contracts count imports within functions, whether or not these are called."""
    show = f"import sys; {code} print([m for m in {HEAVY!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", show], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
