"""What a person sees: `ui` serves the results, its link opens the comparison, the numbers are run.json's."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness.core.exceptions import InputError
from harness.core.record import AVERAGE, Row, RunRecord
from harness.experiment import sync_folder
from harness.pipeline.results_folder import Results
from harness.suite.spec import TrackingSpec
from harness.tracking.metric_names import clean
from harness.tracking.ui import HOST, free_port, serve
from tests.conftest import CHECKOUT
from tests.harness.sample_run import NAMES, sample_run
from tests.harness.tracking.browser import chromium, wait_for

pytestmark = pytest.mark.slow  # a database takes seconds to make
ROWS = """[...document.querySelectorAll('[role=row]')].map(
    row => [...row.querySelectorAll('[role=cell], [role=columnheader]')].map(c => c.innerText.trim()))"""
TABLE = f"({ROWS}).some(cells => cells.includes('avg/overall'))"
BARS = "document.querySelectorAll('.js-plotly-plot .point').length"
SCROLL = """[...document.querySelectorAll('[role=cell]')]
    .filter(c => c.innerText.includes('/')).slice(-1).forEach(c => c.scrollIntoView({block: 'start'}))"""
ROUNDING = 0.011  # MLflow subtracts values that have two decimals, and shows two


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, RunRecord]]:
    folder = tmp_path_factory.mktemp("results")
    record = sample_run(folder / "runs" / "sample-1", run="sample-1")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        sync_folder(folder / "runs" / "sample-1", Results(folder), TrackingSpec())
        yield folder, record


class Ui:
    """`cli.py ui` as a person starts it; `lines` are what it printed until it served."""

    def __init__(self, results: Path, *options: str) -> None:
        command = [sys.executable, "cli.py", "ui", "--results", str(results), *options]
        self.process = subprocess.Popen(
            command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []

    def __enter__(self) -> "Ui":
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.strip())
            if "stop with Ctrl-C" in line:
                return self
        raise AssertionError(self.process.communicate()[1])

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop(signal.SIGTERM)

    def stop(self, how: signal.Signals) -> tuple[int, str]:
        """(exit code, what it said on stderr)."""
        self.process.send_signal(how)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors

    @property
    def link(self) -> str:
        return next(line for line in self.lines if "viewStateShareKey=" in line)

    @property
    def address(self) -> tuple[str, int]:
        return HOST, int(self.lines[0].split()[1].rpartition(":")[2])


def test_the_printed_link_opens_every_model_and_the_differences_of_run_json(
    results: tuple[Path, RunRecord], tmp_path: Path
) -> None:
    folder, record = results
    with Ui(folder) as ui, chromium(tmp_path / "profile") as browser:
        browser.get(ui.link)
        wait_for(browser, TABLE)
        wait_for(browser, BARS)
        shown = _difference_table(browser)
        names = browser.execute_script("return document.body.innerText").splitlines()
    assert set(NAMES) <= set(names)
    wanted = expected(record)
    assert set(shown) == set(wanted)
    for metric, models in wanted.items():
        for model, numbers in models.items():
            assert shown[metric][model] == pytest.approx(numbers, abs=ROUNDING), (metric, model)


def _difference_table(browser: Any) -> dict[str, dict[str, list[float]]]:
    """Metric -> model -> [value, change]. The page holds the rows in sight only: it is scrolled."""
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(20):
        before = len(found)
        found |= _metrics(browser.execute_script(f"return {ROWS}"))
        if len(found) == before:
            break
        browser.execute_script(SCROLL)
        time.sleep(1)
    return found


def _metrics(shown: list[list[str]]) -> dict[str, dict[str, list[float]]]:
    """The rows in sight that every model has; the header names the models, each after its colour."""
    header = next(cells for cells in shown if "Compare by" in cells)
    models = [cell.split("\n")[-1] for cell in header[2:]]
    rows = [c for c in shown if len(c) == len(header) and "/" in c[1] and "-" not in c]
    return {
        metric: {m: [float(n) for n in cell.split()] for m, cell in zip(models, cells, strict=True)}
        for _, metric, *cells in rows
    }


def expected(record: RunRecord) -> dict[str, dict[str, list[float]]]:
    """The same of run.json: every row of the comparison, and the mean of the capabilities."""
    found = {_key(row): {c.model: c.value for c in row.cells} for row in record.comparison.rows}
    averages = [values for key, values in found.items() if key.endswith("/avg")]
    found["avg/overall"] = {m: sum(a[m] for a in averages) / len(averages) for m in NAMES}
    target = NAMES[0]
    return {
        key: {m: [v, v - values[target]] if m != target else [v] for m, v in values.items()}
        for key, values in found.items()
    }


def _key(row: Row) -> str:
    if row.benchmark == AVERAGE:
        return f"{row.capability}/avg" + ("_bits_per_byte" if row.unit == "bits/byte" else "")
    metric = "bits_per_byte" if row.unit == "bits/byte" else clean(row.metric)
    return f"{row.capability}/{row.benchmark}.{metric}"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_takes_a_free_port_and_leaves_nothing_behind(
    results: tuple[Path, RunRecord], how: signal.Signals
) -> None:
    with closing(socket.create_server((HOST, 0))) as taken, Ui(results[0]) as ui:
        assert ui.address[1] != taken.getsockname()[1]
        with socket.create_connection(ui.address, timeout=10):
            pass
        code, said = ui.stop(how)
        assert code == 0 and "MLflow has ended" in said and "Traceback" not in said
        with pytest.raises(OSError), socket.create_connection(ui.address, timeout=10):
            pass


def test_a_port_that_is_taken_is_refused_when_asked_for_and_avoided_when_not(
    results: tuple[Path, RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket.create_server((HOST, 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port} is in use"), serve(results[0], port):
            pass
        monkeypatch.setattr("harness.tracking.ui.DEFAULT_UI", f"http://{HOST}:{port}")
        assert free_port() != port


def test_a_port_that_is_taken_between_looking_and_starting_is_left_for_another(
    results: tuple[Path, RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with closing(socket.create_server((HOST, 0))) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr("harness.tracking.ui.free_port", lambda: port)
        with serve(results[0]) as page:
            assert page.base != f"http://{HOST}:{port}"
            with socket.create_connection((HOST, int(page.base.rpartition(":")[2])), timeout=10):
                pass


def test_without_a_database_it_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(InputError, match="no MLflow database") as caught, serve(tmp_path):
        pass
    assert "fusegauge sync RUN" in caught.value.remedy
    assert not (tmp_path / "mlflow.db").exists()
