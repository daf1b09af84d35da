"""Options of scoring: data access, device, backend, seed, execution of code."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.data.mirror import DataAccess
from harness.suite.load import bundled_folder
from harness.suite.run_options import RunOptions
from harness.suite.spec import LoadedSuite

Execution = Literal["sandbox", "reduced", "subprocess", "refused"]


@dataclass(frozen=True, kw_only=True)
class ScoringOptions(DataAccess):
    """Settings for scoring; equal settings give equal items."""

    device: str = "auto"
    dtype: str = "float32"
    batch_size: int = 8  # for backends that do not choose their batch size themselves
    backend: str = "fusegauge"  # lm-eval's name of the model class
    backend_args: str = "{}"  # further arguments of that class, a JSON object
    seed: int = 1234  # of few-shot sampling and of every generator lm-eval seeds
    execution: Execution = "refused"  # how model-written code is executed
    task_folders: tuple[Path, ...] = ()  # lm-eval task YAML of our own
    bits_per_byte: bool = True


def scoring_options(loaded: LoadedSuite, run_options: RunOptions) -> ScoringOptions:
    """A suite's scoring options. Without a sandbox, only code of the bundled models runs by default."""
    spec = loaded.suite.scoring
    return ScoringOptions(
        mirror=run_options.mirror,
        offline=run_options.offline,
        device=spec.device,
        dtype=spec.dtype,
        batch_size=spec.batch_size,
        backend=spec.backend,
        backend_args=json.dumps(spec.backend_args, sort_keys=True),
        seed=spec.seed,
        execution=execution(unconfined=run_options.unsafe_no_sandbox or is_micro(loaded)),
        task_folders=(bundled_folder() / "tasks", loaded.folder / "tasks"),
        bits_per_byte=spec.bits_per_byte,
    )


def execution(*, unconfined: bool) -> Execution:
    """How model-written code is executed: in the best sandbox, else in a subprocess if `unconfined`."""
    from harness.sandbox import confining

    if backend := confining():
        return backend.mode
    return "subprocess" if unconfined else "refused"


def is_micro(loaded: LoadedSuite) -> bool:
    """Whether every model that writes code is one that this project ships, or one trained from it."""
    from harness.data.model_files import local_model_folder

    shipped = bundled_folder() / "micro" / "models"
    folders = [local_model_folder(m, loaded.folder) for m in (loaded.suite.target, *loaded.suite.sources)]
    return all(f is not None and f.resolve().is_relative_to(shipped.resolve()) for f in folders)
