"""What these tests need of the machine; what it lacks skips them, with the remedy."""

import pytest

from harness.sandbox.backends.selection import confining
from harness.sandbox.languages.table import LANGUAGES
from harness.sandbox.languages.toolchains import install_command, lacks, toolchain


def require(language: str) -> None:
    """Skip the test where programs of this language cannot be run."""
    if confining() is None:
        pytest.skip("no sandbox works here; `fusegauge doctor` says what each lacks")
    if toolchain(language) is None:
        missing = ", ".join(lacks(language))
        pytest.skip(f"{LANGUAGES[language].title}: no {missing}; {install_command([language])}")
