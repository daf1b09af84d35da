"""A test lies where its subject is."""

import ast
from pathlib import Path

from tests.conftest import CHECKOUT

TESTS = CHECKOUT / "tests"


def imported(path: Path) -> set[str]:
    """Modules, and names in them, that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_every_test_of_a_room_imports_something_of_that_room() -> None:
    """`tests/harness/report/test_rows.py` is about something in `harness.report`."""
    tests = list((TESTS / "harness").glob("*/**/test_*.py"))
    elsewhere = []
    for path in tests:
        room = ".".join(path.relative_to(TESTS).parent.parts)
        if not any(f"{name}.".startswith(f"{room}.") for name in imported(path)):
            elsewhere.append(f"{path.relative_to(TESTS)} imports nothing of {room}")
    assert len(tests) > 50
    assert elsewhere == []
