"""What scoring needs to know beside the benchmark and the model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Execution = Literal["sandbox", "reduced", "subprocess", "refused"]


@dataclass(frozen=True)
class ScoringOptions:
    """Settings of one scoring; equal settings give equal items."""

    mirror: Path | None = None  # hub-shaped folder: <owner>/<dataset>/<config>/<split>.jsonl
    offline: bool = False  # never ask the network
    device: str = "auto"
    dtype: str = "float32"
    batch_size: int = 8  # of a backend that does not look after its memory itself
    backend: str = "fusegauge"  # lm-eval's name of the model class
    backend_args: str = "{}"  # further arguments of that class, a JSON object
    seed: int = 1234  # of few-shot sampling and of every generator lm-eval seeds
    execution: Execution = "refused"  # what happens to model-written code
    task_folders: tuple[Path, ...] = ()  # lm-eval task YAML of our own
    bits_per_byte: bool = True


@dataclass(frozen=True)
class DatasetRef:
    """A dataset as `datasets.load_dataset(path, name)` takes it."""

    path: str
    name: str | None = None

    def __str__(self) -> str:
        return f"{self.path} ({self.name})" if self.name else self.path
