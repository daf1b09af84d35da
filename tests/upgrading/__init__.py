"""Private names, undocumented behaviour and patch points of libraries: entries, checks, a scan for more."""

from pathlib import Path

import pytest

# so that a check that fails shows what it compared, though it is not in a file of tests
pytest.register_assert_rewrite(*(f"{__name__}.{path.stem}" for path in Path(__file__).parent.glob("of_*.py")))
