"""The seeds of several trainings, as a suite writes them: a number of trainings, or a list."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

MOST = 100  # more is a mistake: a seed written where a number of trainings is asked


def with_seeds(given: Any) -> Any:
    """Suite data with `seeds: n` spelled out as seed, seed + 1, ..., seed + n - 1; anything else as it is."""
    count, first = (given.get("seeds"), given.get("seed", 0)) if isinstance(given, dict) else (None, None)
    if not _is_count(count) or not _is_count(first) or not 1 <= count <= MOST:
        return given
    return {**given, "seeds": list(range(first, first + count))}


def training_name(name: str, seed: int, seeds: Sequence[int]) -> str:
    """The name of a training: the first seed's is plain, since it is the one that is shown."""
    return name if seed == seeds[0] else f"{name}@{seed}"


def seed_mistakes(raw: dict[str, Any]) -> Iterator[str]:
    """What is wrong with `seeds` beyond its types."""
    seeds = raw.get("seeds")
    if _is_count(seeds) and not 1 <= seeds <= MOST:
        yield f"seeds: {seeds} trainings; a number from 1 to {MOST}, or a list of seeds such as [0, 1, 2]"
    if not isinstance(seeds, list):
        return
    for seed in dict.fromkeys(s for s in seeds if seeds.count(s) > 1):
        yield f"seeds: {seed} is given twice; the same seed is the same training"
    if seeds and "seed" in raw and raw["seed"] != seeds[0]:
        yield f"seed: {raw['seed']} is not the first of seeds, {seeds[0]}; leave one of the two keys out"


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
