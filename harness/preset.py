"""`fusion.paper` in a suite: what it decides, what gives way to it, how a suite departs from it."""

from collections.abc import Collection
from typing import Any

from fusion.presets import PRESETS

UNSET: dict[str, Any] = {  # keys that no preset sets and that would change what one does
    "lm_loss_weight_end": None,
    "lm_loss_weight_schedule": "linear",
    "vocabulary_threshold": 0.34,
}


def with_preset(fusion: Any) -> Any:
    """The `fusion` section with what its preset decides filled in; keys written beside the preset win."""
    name = fusion.get("paper") if isinstance(fusion, dict) else None
    return {**PRESETS[name], **fusion} if isinstance(name, str) and name in PRESETS else fusion


def give_way_to_preset(raw: dict[str, Any], given: Collection[str]) -> None:
    """Who overrides `fusion.paper` replaces what the file said of the method; other overrides stay.

    given: the dotted keys of all overrides.
    """
    fusion = raw.get("fusion")
    if "fusion.paper" not in given or "fusion" in given or not isinstance(fusion, dict):
        return
    name = fusion.get("paper")
    if not isinstance(name, str) or name not in PRESETS:
        return
    for key in {*PRESETS[name], *UNSET}:
        if f"fusion.{key}" not in given:
            fusion.pop(key, None)


def departures(fusion: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Key -> (the suite's value, the preset's) where a typed and dumped section departs from its preset."""
    if fusion.get("paper") is None:
        return {}
    decided = {**PRESETS[fusion["paper"]], "lm_loss_weight_end": None}
    return {key: (fusion[key], value) for key, value in decided.items() if fusion[key] != value}
