"""Files of a run: items (one parquet file per benchmark and model) and run.json.

Columns: item, task, prediction, gold, prompt (text), bits_per_byte (float64 or null), gold_bytes (int64 or
null), loglikelihoods (list of float64, nats), cluster (text or null; older files do not have these two), and
one `score.<metric>` (float64) per metric; null where an item does not have that metric.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.core.exceptions import IncompleteError, InputError
from harness.core.files import write_atomically
from harness.core.record import RUN_SCHEMA_VERSION, Item, RunRecord, metrics_of

ATTRIBUTION_FILE = "attribution.parquet"  # each model's share of every document's fused rows
SCORE = "score."
TEXTS = ("item", "task", "prediction", "gold", "prompt")


def items_path(run_dir: Path, benchmark: str, model: str) -> Path:
    """Where a run keeps one model's items of one benchmark."""
    return run_dir / "items" / benchmark / f"{model}.parquet"


def write_items(path: Path, items: Sequence[Item]) -> None:
    """Write items in order, atomically. Raises StoreError where the file cannot be written."""
    import pyarrow.parquet as parquet

    table = _table(items)
    write_atomically(path, lambda aside: parquet.write_table(table, aside, compression="zstd"))


def read_items(path: Path) -> list[Item]:
    """The items of one file, equal to those written. InputError where the file is missing or unreadable."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    if not path.is_file():
        raise InputError(
            f"no items at {path}", remedy="score this model first: run-suite continues where it stopped"
        )
    try:
        # opened as a single file: `read_table` may take folder names for partitions
        rows = parquet.ParquetFile(path).read().to_pylist()
    except (arrow.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{path} is not a complete parquet file: {error}", remedy="delete it and run the suite again"
        ) from error
    return [_item(row) for row in rows]


def _table(items: Sequence[Item]) -> Any:
    import pyarrow as arrow

    columns = {name: arrow.array([getattr(i, name) for i in items], arrow.string()) for name in TEXTS}
    columns["bits_per_byte"] = arrow.array([i.bits_per_byte for i in items], arrow.float64())
    columns["gold_bytes"] = arrow.array([i.gold_bytes for i in items], arrow.int64())
    columns["loglikelihoods"] = arrow.array([i.loglikelihoods for i in items], arrow.list_(arrow.float64()))
    columns["cluster"] = arrow.array([i.cluster for i in items], arrow.string())
    for metric in metrics_of(items):
        columns[SCORE + metric] = arrow.array([i.scores.get(metric) for i in items], arrow.float64())
    return arrow.table(columns)


def _item(row: dict[str, Any]) -> Item:
    scores = {k.removeprefix(SCORE): v for k, v in row.items() if k.startswith(SCORE) and v is not None}
    return Item(scores=scores, **{k: v for k, v in row.items() if not k.startswith(SCORE)})


RUN_FILE = "run.json"


def read_run(folder: Path) -> RunRecord:
    """The record of a finished run. Raises IncompleteError if there is none, InputError if it is invalid."""
    path = folder / RUN_FILE
    if not path.is_file():
        raise IncompleteError(
            f"{folder} has no {RUN_FILE}: the run is not finished, or this is not a run folder",
            remedy="give a folder below results/runs, or finish the run with `fusegauge run-suite`",
        )
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(
            f"{path} is not a run record of schema {RUN_SCHEMA_VERSION}: {error.errors()[0]['msg']}",
            remedy="run the suite again with this version: finished stages are reused",
        ) from error
