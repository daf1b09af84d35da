"""Loads suites: finds the file, applies overrides, validates, reports every mistake at once."""

from collections.abc import Collection, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.core.exceptions import SuiteError, nearest
from harness.suite.hf_arguments import check_training, lora_mistakes
from harness.suite.shorthand import give_way_to_preset
from harness.suite.spec import SUITE_VERSION, LoadedSuite, Suite
from harness.suite.validation import CORPUS_KEYS, cross_mistakes, type_mistakes, version_mistakes
from harness.suite.yaml_text import apply_overrides, read_yaml


def bundled_folder() -> Path:
    """The folder of the suites, tasks and models that come with FuseGauge."""
    return Path(str(files("suites")))


def bundled_suites() -> dict[str, Path]:
    """The suite files that come with FuseGauge, by name."""
    return {path.stem: path for path in sorted(bundled_folder().glob("*.yaml"))}


def description(path: Path) -> str:
    """The `description` in a suite file; the rest of the file is not checked."""
    raw, _ = read_yaml(_text(path))
    return str((raw or {}).get("description", ""))


def load_suite(reference: str | Path, overrides: Sequence[str] = ()) -> LoadedSuite:
    """The suite at a path, or the bundled one of that name, with `key=value` overrides applied.

    Raises SuiteError that lists every mistake: YAML, unknown keys, types, ranges, contradictions.
    """
    path = _suite_file(reference)
    raw, mistakes = read_yaml(_text(path))
    if raw is None:
        raise SuiteError(str(path), mistakes)
    mistakes += apply_overrides(raw, overrides)
    given = {override.partition("=")[0].strip() for override in overrides}
    if "corpus.kind" in given:
        _drop_keys_of_another_kind(raw, given)
    give_way_to_preset(raw, given)
    suite, found = _validated(raw, path.parent)
    if suite is None or mistakes or found:
        raise SuiteError(str(path), mistakes + found)
    return LoadedSuite(suite=suite, folder=path.parent, overrides=tuple(overrides))


def _text(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        mistake = f"not UTF-8: byte {data[error.start]:#04x} in line {line}; save the file as UTF-8"
        raise SuiteError(str(path), [mistake]) from error


def _suite_file(reference: str | Path) -> Path:
    path = Path(reference).expanduser()
    bundled = bundled_suites()
    if path.is_file():
        return path.resolve()
    if str(reference) in bundled:
        return bundled[str(reference)]
    hint = nearest(path.stem, bundled)
    raise SuiteError(
        str(reference),
        [f"no such file, and no bundled suite of that name{hint}; bundled: {', '.join(bundled)}"],
    )


def _drop_keys_of_another_kind(raw: dict[str, Any], given: Collection[str]) -> None:
    """After an override of `corpus.kind`, drop the file's keys for other kinds; keep those in `given`."""
    corpus = raw.get("corpus")
    kind = corpus.get("kind") if isinstance(corpus, dict) else None
    if not isinstance(corpus, dict) or not isinstance(kind, str) or kind not in CORPUS_KEYS:
        return
    for key in {k for keys in CORPUS_KEYS.values() for k in keys} - set(CORPUS_KEYS[kind]):
        if f"corpus.{key}" not in given:
            corpus.pop(key, None)


def _validated(raw: dict[str, Any], folder: Path) -> tuple[Suite | None, list[str]]:
    newer = list(version_mistakes(raw, SUITE_VERSION))
    if newer:  # other mistakes may be valid in that version
        return None, newer
    found = list(cross_mistakes(raw, folder))
    if isinstance(raw.get("training"), dict):
        raw = dict(raw)
        raw["training"], mistakes = check_training(raw["training"])
        found += mistakes
    if isinstance(raw.get("lora"), dict):
        found += lora_mistakes(raw["lora"])
    try:
        return Suite.model_validate(raw), found
    except ValidationError as error:
        return None, type_mistakes(error, Suite, raw) + found


def limit_items(suite: Suite, n: int) -> Suite:
    """The same suite with at most `n` items per task in every benchmark."""
    benchmarks = {
        capability: tuple(b.model_copy(update={"limit": min(n, b.limit or n)}) for b in rows)
        for capability, rows in suite.benchmarks.items()
    }
    return suite.model_copy(update={"benchmarks": benchmarks})
