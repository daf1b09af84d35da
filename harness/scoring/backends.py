"""Which of lm-eval's model classes reads a model: our own, unless the suite names another as lm-eval does."""

import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import InputError, nearest
from harness.scoring.options import ScoringOptions
from harness.scoring.shared_prefix import NAME, register

FOLDER = "{folder}"  # in an argument of a backend: where the model lies


def backend_mistakes(options: ScoringOptions) -> list[str]:
    """What is wrong with the suite's choice of a backend, as sentences."""
    names = backend_names()
    if options.backend in names:
        return []
    close = nearest(options.backend, names)
    return [f"scoring.backend: lm-eval has no model class {options.backend!r}{close}"]


def backend_names() -> list[str]:
    """lm-eval's names of model classes, ours among them."""
    from lm_eval.api.registry import model_registry

    register()
    return sorted(model_registry.keys())


def build_lm(folder: Path, options: ScoringOptions, device: str, bos: bool | None) -> Any:
    """An lm_eval.api.model.LM for the model in a local folder.

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
    except Exception as error:  # each class has its own way to say what it lacks
        if options.backend == NAME and not given:
            raise
        reason = next(iter(str(error).splitlines()), "")
        raise InputError(
            f"backend {options.backend} cannot be used: {type(error).__name__}: {reason}",
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
    """Arguments with the model's folder in its place, however deep."""
    if isinstance(value, dict):
        return {key: _placed(inner, folder) for key, inner in value.items()}
    if isinstance(value, list):
        return [_placed(inner, folder) for inner in value]
    return value.replace(FOLDER, str(folder)) if isinstance(value, str) else value


def _taken(chosen: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those arguments that a class names, itself or by the classes it passes the rest on to."""
    names = set(_parameters(chosen))
    return {key: value for key, value in arguments.items() if key in names}


def _parameters(chosen: type) -> Iterator[str]:
    for parent in chosen.__mro__:
        own = vars(parent).get("__init__")
        parameters = inspect.signature(own).parameters if own else {}
        yield from parameters
        if parameters and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return
