"""A model folder behind lm-eval's own Hugging Face backend, the last one kept for the next benchmark."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from fusion.models import pick_device
from harness.errors import InputError
from harness.scoring.options import ScoringOptions
from harness.scoring.patching import no_weight_bars, quiet


@dataclass(frozen=True)
class LoadedLM:
    """A model ready to be scored. `lm` is an lm_eval.models.huggingface.HFLM."""

    folder: Path
    lm: Any


def load_lm(folder: Path, options: ScoringOptions, *, bos: bool | None = None) -> LoadedLM:
    """Load a model and its tokenizer from a local folder; the last one loaded is kept in memory.

    Args:
        bos: begin every text with the beginning-of-text token; None leaves it to the tokenizer.

    Raises:
        InputError: the folder holds no model.
    """
    if not (folder / "config.json").is_file():
        raise InputError(f"no model at {folder}: config.json is missing", remedy="fetch it with `prepare`")
    device = pick_device(options.device)
    return _load(folder.resolve(), _weights_state(folder), device, options.dtype, options.batch_size, bos)


@lru_cache(maxsize=1)
def _load(
    folder: Path, state: tuple[int, ...], device: str, dtype: str, batch_size: int, bos: bool | None
) -> LoadedLM:
    del state  # only part of the key: weights that changed on disk are loaded again
    from lm_eval.models.huggingface import HFLM

    with quiet(), no_weight_bars():
        lm = HFLM(
            pretrained=str(folder),
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            add_bos_token=bos,
        )
    return LoadedLM(folder, lm)


def _weights_state(folder: Path) -> tuple[int, ...]:
    files = sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.json"))
    return tuple(f.stat().st_mtime_ns for f in files)
