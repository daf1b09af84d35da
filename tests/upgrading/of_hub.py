"""What is assumed of datasets, huggingface_hub and evaluate."""

import tempfile
from pathlib import Path
from typing import Any

from tests.upgrading.assumption import assumes


@assumes(
    "datasets",
    "packaged_modules._PACKAGED_DATASETS_MODULES",
    used_in="harness.data.mirror",
    assumed="names of the loaders for a user's own files (`json`, `csv`, ...)",
    why="no public list of them",
    breaks="a task that reads files of its own is looked for on the hub",
)
def names_of_loaders() -> None:
    from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES

    assert {"json", "csv", "parquet", "text"} <= set(_PACKAGED_DATASETS_MODULES)
    assert not [name for name in _PACKAGED_DATASETS_MODULES if "/" in name]


@assumes(
    "datasets",
    "config.HF_HUB_OFFLINE",
    used_in="harness.data.mirror",
    assumed="a bool that is read at every call",
    why="the environment variable is read once, when the module is imported",
    breaks="`--offline` asks the network in a process that had imported the library before",
)
def offline_mode_of_datasets() -> None:
    import datasets

    assert isinstance(datasets.config.HF_HUB_OFFLINE, bool)
    assert datasets.load.config is datasets.config
    assert "HF_HUB_OFFLINE" in datasets.load.increase_load_count.__code__.co_names


@assumes(
    "datasets",
    "error about loading scripts",
    used_in="harness.data.mirror_filling",
    spelled="RuntimeError supported",
    assumed="RuntimeError with the words `scripts are no longer supported`",
    why="there is no exception of its own",
    breaks="`prepare` does not fetch data sets that the hub keeps as a loading script",
)
def error_about_scripts() -> None:
    import datasets

    with tempfile.TemporaryDirectory() as name:
        script = Path(name) / "old" / "old.py"
        script.parent.mkdir()
        script.write_text("", encoding="utf-8")
        try:
            datasets.load_dataset(str(script.parent), cache_dir=name)
        except RuntimeError as error:
            assert "scripts are no longer supported" in str(error), error
        else:
            raise AssertionError("a loading script was taken")


@assumes(
    "huggingface_hub",
    "constants.HF_HUB_OFFLINE",
    used_in="harness.data.mirror",
    assumed="read before every request, which then raises OfflineModeIsEnabled",
    why="`is_offline_mode()` only reads; the environment variable is read once, at import",
    breaks="`--offline` asks the network in a process that had imported the library before",
)
def offline_mode_of_the_hub() -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import OfflineModeIsEnabled

    from harness.data.mirror import DataAccess, network

    with network(DataAccess(offline=True)):
        try:
            HfApi(endpoint="http://127.0.0.1:9").model_info("owner/name")
        except OfflineModeIsEnabled:
            return
    raise AssertionError("a request was made")


@assumes(
    "evaluate",
    "Metric._info, Metric._compute",
    used_in="harness.sandbox.metric",
    spelled="_info _compute",
    assumed="what a metric overrides; `compute` calls `_compute` with predictions, references and the "
    "further arguments by name",
    why="these are how metrics are written, though their names are private",
    breaks="`evaluate.load('harness/sandbox/metric.py')`",
)
def how_a_metric_is_written() -> None:
    import datasets
    import evaluate

    class Counting(evaluate.Metric):  # type: ignore[misc]
        def _info(self) -> Any:
            column = datasets.Value("string")
            features = datasets.Features({"predictions": column, "references": column})
            return evaluate.MetricInfo("", "", inputs_description="", features=features)

        def _compute(self, predictions: Any, references: Any, k: int = 0) -> Any:
            return {"found": (list(predictions), list(references), k)}

    with tempfile.TemporaryDirectory() as folder:
        found = Counting(cache_dir=folder).compute(predictions=["a"], references=["b"], k=3)
    assert found == {"found": (["a"], ["b"], 3)}, found


@assumes(
    "evaluate",
    "load",
    used_in="harness.scoring.execution suites.tasks.micro_functions",
    assumed="a function of the module, the metric's name first",
    why="official tasks name the metric, and their code is to stay as it is",
    breaks="see lm_eval: programs of models would be run outside the sandbox",
)
def loading_a_metric() -> None:
    import inspect

    import evaluate

    assert next(iter(inspect.signature(evaluate.load).parameters)) == "path"
