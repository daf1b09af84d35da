"""Shorthand in a suite: `fusion.paper` for a preset of the method, `seeds: n` for n seeds."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, TypeGuard

from fusion.method import METHOD_HINTS
from fusion.presets import PRESETS


def with_preset(fusion: Any) -> Any:
    """The `fusion` section with its preset's values filled in; keys written beside it take precedence."""
    name = fusion.get("paper") if isinstance(fusion, dict) else None
    return {**PRESETS[name], **fusion} if isinstance(name, str) and name in PRESETS else fusion


def give_way_to_preset(raw: dict[str, Any], given: Collection[str]) -> None:
    """After an override of `fusion.paper`, drop the file's choices of method; other overrides stay.

    given: the dotted keys of all overrides.
    """
    fusion = raw.get("fusion")
    if "fusion.paper" not in given or "fusion" in given or not isinstance(fusion, dict):
        return
    name = fusion.get("paper")
    if not isinstance(name, str) or name not in PRESETS:
        return
    for key in METHOD_HINTS:
        if f"fusion.{key}" not in given:
            fusion.pop(key, None)


def departures(fusion: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Key -> (the suite's value, the preset's) where they differ, for a validated section as a dict."""
    if fusion.get("paper") is None:
        return {}
    decided = PRESETS[fusion["paper"]]
    return {key: (fusion[key], value) for key, value in decided.items() if fusion[key] != value}


MOST = 100  # more is probably a mistake: a seed in place of the number of trainings


def with_seeds(given: Any) -> Any:
    """Suite data with `seeds: n` expanded to seed, seed + 1, ..., seed + n - 1; anything else unchanged."""
    count, first = (given.get("seeds"), given.get("seed", 0)) if isinstance(given, dict) else (None, None)
    if not _is_count(count) or not _is_count(first) or not 1 <= count <= MOST:
        return given
    return {**given, "seeds": list(range(first, first + count))}


def training_name(name: str, seed: int, seeds: Sequence[int]) -> str:
    """The name of a training: plain for the first seed, whose items are shown, else with `@seed`."""
    return name if seed == seeds[0] else f"{name}@{seed}"


def seed_mistakes(raw: dict[str, Any]) -> Iterator[str]:
    """Mistakes in `seeds` that its type does not exclude."""
    seeds = raw.get("seeds")
    if _is_count(seeds) and not 1 <= seeds <= MOST:
        yield (
            f"seeds: {seeds} is not a number of trainings from 1 to {MOST}; "
            "a list of seeds is written as [0, 1, 2]"
        )
    if not isinstance(seeds, list):
        return
    for seed in dict.fromkeys(s for s in seeds if seeds.count(s) > 1):
        yield f"seeds: {seed} is given twice; the same seed is the same training"
    if seeds and "seed" in raw and raw["seed"] != seeds[0]:
        yield f"seed: {raw['seed']} is not the first of seeds, {seeds[0]}; remove one of the two keys"


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
