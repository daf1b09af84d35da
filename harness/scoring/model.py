"""A model folder behind one of lm-eval's model classes, the last one kept for the next benchmark."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusion.models import pick_device
from harness.errors import InputError
from harness.scoring.backends import build_lm
from harness.scoring.options import ScoringOptions
from harness.scoring.patching import no_weight_bars, quiet


@dataclass(frozen=True)
class LoadedLM:
    """A model ready to be scored. `lm` is an lm_eval.api.model.LM."""

    folder: Path
    lm: Any

    @property
    def strategy(self) -> str:
        """How our own class reads it ("tree", "reuse", "plain"); of another class nothing is known."""
        chosen = getattr(self.lm, "chosen", None)
        return "" if chosen is None else str(chosen.strategy)

    @property
    def tokens_read(self) -> int | None:
        """Tokens that our own class has computed since it was loaded; None where nobody counts."""
        reader = getattr(getattr(self.lm, "chosen", None), "reader", None)
        return None if reader is None else int(reader.tokens_read)

    @property
    def fallback(self) -> str:
        """What our own class does not do the fastest way, and why; empty where it does all so."""
        return "; ".join(getattr(self.lm, "told", ()))


def load_lm(folder: Path, options: ScoringOptions, *, bos: bool | None = None) -> LoadedLM:
    """Load a model and its tokenizer from a local folder; the last one loaded is kept in memory.

    Args:
        bos: begin every text with the beginning-of-text token; None leaves it to the tokenizer.

    Raises:
        InputError: the folder holds no model, or the backend cannot be used.
    """
    if not (folder / "config.json").is_file():
        raise InputError(f"no model at {folder}: config.json is missing", remedy="fetch it with `prepare`")
    return _kept((folder.resolve(), _weights_state(folder), _relevant(options), bos))


def _relevant(options: ScoringOptions) -> ScoringOptions:
    """What of the options a loaded model depends on."""
    return ScoringOptions(
        device=pick_device(options.device),
        dtype=options.dtype,
        batch_size=options.batch_size,
        backend=options.backend,
        backend_args=options.backend_args,
    )


_Key = tuple[Path, tuple[int, ...], ScoringOptions, bool | None]
_KEPT: dict[_Key, LoadedLM] = {}  # one at most


def _kept(key: _Key) -> LoadedLM:
    """The model of this key; any other is let go first, so that never two are in memory."""
    if key not in _KEPT:
        _KEPT.clear()
        folder, _, options, bos = key
        with quiet(), no_weight_bars():
            _KEPT[key] = LoadedLM(folder, build_lm(folder, options, options.device, bos))
    return _KEPT[key]


def _weights_state(folder: Path) -> tuple[int, ...]:
    files = sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.json"))
    return tuple(f.stat().st_mtime_ns for f in files)
