"""Model classes of lm-eval: loading a model folder, with the last loaded model cached."""

import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusion.models import pick_device
from harness.core.exceptions import InputError, first_line, nearest
from harness.scoring.options import ScoringOptions
from harness.scoring.quiet import no_weight_bars, quiet
from harness.scoring.shared_prefix import NAME, register


@dataclass(frozen=True)
class LoadedLM:
    """A model ready to be scored. `lm` is an lm_eval.api.model.LM."""

    folder: Path
    lm: Any

    @property
    def strategy(self) -> str:
        """The strategy of our own class ("tree", "reuse", "plain"); "" for other classes."""
        chosen = getattr(self.lm, "chosen", None)
        return "" if chosen is None else str(chosen.strategy)

    @property
    def tokens_read(self) -> int | None:
        """Tokens computed by our own class since it was loaded; None for other classes."""
        reader = getattr(getattr(self.lm, "chosen", None), "reader", None)
        return None if reader is None else int(reader.tokens_read)

    @property
    def fallback(self) -> str:
        """Why our own class fell back to a slower way; empty if it did not."""
        return "; ".join(getattr(self.lm, "told", ()))


def load_lm(folder: Path, options: ScoringOptions, *, bos: bool | None = None) -> LoadedLM:
    """Load a model and its tokenizer from a local folder; the last model stays in memory.

    Args:
        bos: whether every text begins with the beginning-of-text token; None: as the tokenizer does.

    Raises:
        InputError: the folder holds no model, or the backend cannot be used.
    """
    if not (folder / "config.json").is_file():
        raise InputError(f"no model at {folder}: config.json is missing", remedy="fetch it with `prepare`")
    return _kept((folder.resolve(), _weights_state(folder), _relevant(options), bos))


def _relevant(options: ScoringOptions) -> ScoringOptions:
    """The options that a loaded model depends on."""
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
    """The cached model of this key; any other is released first, so that two are never in memory."""
    if key not in _KEPT:
        _KEPT.clear()
        folder, _, options, bos = key
        with quiet(), no_weight_bars():
            _KEPT[key] = LoadedLM(folder, build_lm(folder, options, options.device, bos))
    return _KEPT[key]


def _weights_state(folder: Path) -> tuple[int, ...]:
    files = sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.json"))
    return tuple(f.stat().st_mtime_ns for f in files)


FOLDER = "{folder}"  # placeholder for the model's folder in a backend's arguments


def backend_mistakes(options: ScoringOptions) -> list[str]:
    """Errors in the suite's choice of a backend, as sentences."""
    names = backend_names()
    if options.backend in names:
        return []
    close = nearest(options.backend, names)
    return [f"scoring.backend: lm-eval has no model class {options.backend!r}{close}"]


def backend_names() -> list[str]:
    """Names of all model classes that lm-eval knows, including ours."""
    from lm_eval.api.registry import model_registry

    register()
    return sorted(model_registry.keys())


def build_lm(folder: Path, options: ScoringOptions, device: str, bos: bool | None) -> Any:
    """Build an lm_eval.api.model.LM for the model in a local folder.

    Raises:
        InputError: an unknown backend, one whose package is not installed, or arguments it does not take.
    """
    from lm_eval.api.registry import get_model

    if mistakes := backend_mistakes(options):
        raise InputError("; ".join(mistakes), remedy="`lm_eval ls models` lists lm-eval's own")
    given = _placed(json.loads(options.backend_args), folder)
    try:
        chosen = get_model(options.backend)
        return chosen(**(_taken(chosen, _ours(folder, options, device, bos)) | given))
    except Exception as error:  # each class raises its own kind of error for what is missing
        if options.backend == NAME and not given:
            raise
        raise InputError(
            f"backend {options.backend} cannot be used: {type(error).__name__}: {first_line(error)}",
            remedy="install what it needs (such as `pip install vllm`) and correct scoring.backend_args; "
            "without scoring.backend, FuseGauge reads the model itself",
        ) from error


def _ours(folder: Path, options: ScoringOptions, device: str, bos: bool | None) -> Mapping[str, Any]:
    return {
        "pretrained": str(folder),
        "device": device,
        "dtype": options.dtype,
        "batch_size": options.batch_size,
        "add_bos_token": bos,
    }


def _placed(value: Any, folder: Path) -> Any:
    """Arguments with `{folder}` replaced by the model's folder, at any depth."""
    if isinstance(value, dict):
        return {key: _placed(inner, folder) for key, inner in value.items()}
    if isinstance(value, list):
        return [_placed(inner, folder) for inner in value]
    return value.replace(FOLDER, str(folder)) if isinstance(value, str) else value


def _taken(chosen: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that a class accepts, in its own `__init__` or, through **kwargs, in its parents'."""
    names = set(_parameters(chosen))
    return {key: value for key, value in arguments.items() if key in names}


def _parameters(chosen: type) -> Iterator[str]:
    for parent in chosen.__mro__:
        own = vars(parent).get("__init__")
        parameters = inspect.signature(own).parameters if own else {}
        yield from parameters
        if parameters and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return
