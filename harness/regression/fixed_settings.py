"""The settings that must be equal for two runs to be the same experiment, as one flat table.

Must be equal unless named by `--vary`: weights of target and sources and their bos, corpus documents, fusion,
training, controls, and how scores are computed. May differ: training seed, code, library versions, hardware,
device, batch size of scoring, file locations, logging and saving intervals; the check exists to test these.
Tasks, data and few-shot are part of the benchmarks' fingerprints and may never differ.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.core.exceptions import InputError, nearest
from harness.core.record import Role, RunRecord

SCORING = ("backend", "backend_args", "dtype")
SPEED_ONLY = ("extraction_batch_tokens",)  # of fusion
BOOKKEEPING = ("logging_", "save_")  # of training
Settings = Mapping[str, Any]
_ABSENT = "not set"


def fixed_settings(record: RunRecord) -> dict[str, Any]:
    """Dotted key -> value, with the suite's keys; models by their weights, the corpus by its documents."""
    suite = record.suite
    fusion = {k: v for k, v in suite["fusion"].items() if k not in SPEED_ONLY}
    training = {k: v for k, v in suite["training"].items() if not k.startswith(BOOKKEEPING)}
    return {
        **_models(record),
        **_flat("corpus", _corpus(record)),
        **_flat("fusion", fusion),
        **_flat("training", training),
        **_flat("lora", suite["lora"] or {}),
        "controls": list(suite["controls"]),
        **_flat("scoring", {key: suite["scoring"][key] for key in SCORING}),
    }


def _models(record: RunRecord) -> dict[str, Any]:
    given = {spec["name"]: spec for spec in (record.suite["target"], *record.suite["sources"])}
    settings: dict[str, Any] = {}
    for model in record.models:
        if model.role in (Role.TARGET, Role.SOURCE):
            prefix = "target" if model.role is Role.TARGET else f"sources.{model.name}"
            settings[f"{prefix}.weights"] = model.fingerprint
            settings[f"{prefix}.bos"] = given[model.name]["bos"]
    return settings


def _corpus(record: RunRecord) -> dict[str, Any]:
    facts = next((stage.facts for stage in record.stages if stage.name == "corpus"), {})
    chosen = {key: record.suite["corpus"][key] for key in ("evaluation_fraction", "seed")}
    return {"content": facts.get("fingerprint", ""), **chosen}


def _flat(prefix: str, values: Settings) -> dict[str, Any]:
    return {f"{prefix}.{key}": value for key, value in values.items()}


def differing(now: Settings, then: Settings) -> dict[str, str]:
    """Key -> "is 0.5 in this run, 0.2 in the baseline" for every key whose values differ."""
    keys = dict.fromkeys([*then, *now])
    pairs = {key: (now.get(key, _ABSENT), then.get(key, _ABSENT)) for key in keys}
    return {
        key: f"is {_short(ours)} in this run, {_short(theirs)} in the baseline"
        for key, (ours, theirs) in pairs.items()
        if ours != theirs
    }


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return f"{text[:12]}…" if len(text) == 64 else text  # a fingerprint: its beginning identifies it


def free_keys(vary: Sequence[str], keys: Sequence[str]) -> frozenset[str]:
    """The settings named by `--vary`, one by one (`fusion.top_k`) or as a whole part (`fusion`).

    Raises InputError for an unknown name.
    """
    found: set[str] = set()
    for name in vary:
        fits = [key for key in keys if key == name or key.startswith(f"{name}.")]
        if not fits:
            raise InputError(
                f"--vary {name}: no such setting{nearest(name, [*_parts(keys), *keys])}",
                remedy=f"name one of {', '.join(_parts(keys))}, or a key within one of them",
            )
        found.update(fits)
    return frozenset(found)


def _parts(keys: Sequence[str]) -> list[str]:
    def first(key: str) -> str:
        return key.partition(".")[0]

    return list(dict.fromkeys(map(first, keys)))


def mistakes(differences: Mapping[str, str], free: frozenset[str]) -> Iterator[str]:
    """The differences that `--vary` does not allow."""
    return (f"{key} {what}" for key, what in differences.items() if key not in free)
