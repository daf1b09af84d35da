"""The action and the documented workflows call commands and options that there are."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import commands
from tests.conftest import CHECKOUT

ACTION = CHECKOUT / "action.yml"
GUIDE = CHECKOUT / "docs" / "ci.md"
CALL = re.compile(r"(?<!`)fusegauge ((?:run-suite|check|baseline save)\b[^\n]*)")


def calls(text: str) -> list[str]:
    """Every call of a command in a script, lines that go on joined; prose has it in backticks."""
    return CALL.findall(text.replace("\\\n", " "))


@pytest.mark.parametrize("path", [ACTION, GUIDE], ids=lambda p: p.name)
def test_every_call_names_options_of_its_command(path: Path) -> None:
    found = calls(path.read_text(encoding="utf-8"))
    assert len(found) >= 2
    for call in found:
        command: Any = commands.main
        for word in ("baseline", "save") if call.startswith("baseline") else (call.split()[0],):
            command = command.commands[word]
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"(?<!\S)--[a-z-]+", call)) <= known, call


def test_the_guides_workflows_are_yaml() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    for block in blocks[1:]:
        assert yaml.safe_load(block)


def test_the_actions_inputs_reach_its_scripts_by_the_environment_only() -> None:
    """An input that is pasted into a script is run as one."""
    action = yaml.safe_load(ACTION.read_text(encoding="utf-8"))
    scripts = [step["run"] for step in action["runs"]["steps"] if "run" in step]
    assert not any("${{" in script for script in scripts)
    used = set(re.findall(r"inputs\.([a-z-]+)", ACTION.read_text(encoding="utf-8")))
    assert used == set(action["inputs"])
