"""Imports point one way: cli -> harness -> fusion; each third party has one importer."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = [*(ROOT / "fusion").rglob("*.py"), *(ROOT / "harness").rglob("*.py"), ROOT / "cli.py"]
MODULES += list((ROOT / "suites").rglob("*.py"))

ONLY_IN = {  # package -> the rooms that may import it
    "lm_eval": ("harness/scoring",),
    "mlflow": ("harness/tracking",),
    "click": ("cli.py",),
    "cli": (),
    "harness": ("cli.py", "harness", "suites"),
    "yaml": ("harness",),
    "pydantic": ("harness",),
    "tests": (),
}


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    for module in _imports(path):
        allowed = ONLY_IN.get(module.split(".")[0])
        if allowed is not None:
            inside = [room for room in allowed if place == room or place.startswith(f"{room}/")]
            assert inside, f"{place} imports {module}"


def test_fusion_is_a_library_of_its_own() -> None:
    # A fresh interpreter: no harness, no lm-eval, no mlflow comes along.
    code = (
        "import sys, fusion.training, fusion.extraction, fusion.functions, fusion.models;"
        "print([m for m in ('harness', 'lm_eval', 'mlflow', 'click', 'yaml_suite') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_help_needs_no_heavy_library() -> None:
    code = (
        "import sys; from click.testing import CliRunner; import cli;"
        "assert CliRunner().invoke(cli.main, ['run-suite', '--help']).exit_code == 0;"
        "print([m for m in ('torch', 'transformers', 'lm_eval', 'mlflow', 'matplotlib') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
