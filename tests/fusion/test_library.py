"""`fusion` is a library of its own: the documented example runs, without the harness and what it needs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ABSENT = ("harness", "lm_eval", "mlflow", "evaluate", "matplotlib")
HIDE = f"""
import sys
class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        absent = name.partition(".")[0] in {ABSENT!r}
        return None if absent else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
"""


@pytest.mark.slow
def test_the_documented_example_runs_without_the_harness(tmp_path: Path) -> None:
    """The example as documented, where neither harness nor lm-eval nor MLflow can be imported."""
    page = (ROOT / "docs" / "library.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0]
    assert len([line for line in code.splitlines() if line.strip()]) < 40
    for name in ("fusion", "suites"):
        (tmp_path / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [sys.executable, "-c", HIDE + code.replace('Path("fused', f'Path("{tmp_path}/fused')],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    share = int(done.stdout.split()[3])
    assert share > 0  # the source knows its own programs better than the target
    assert (tmp_path / "fused" / "model" / "model.safetensors").is_file()
