"""Validation of a suite's data: every mistake as one sentence with its full dotted path.

The checks read plain data, not the typed suite, so that they also run where types are wrong and all mistakes
are reported at once.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from fusion.vocabulary_rules import VOCABULARY_MAPS, by_spelling
from harness.core.exceptions import nearest
from harness.core.redaction import redact
from harness.suite.published import published_names
from harness.suite.references import LocalFolder, ModelReference, RandomWeights, reference_of
from harness.suite.shorthand import seed_mistakes, with_preset
from harness.suite.synonyms import meant
from harness.suite.tolerance import DEFAULT, unknown_names

RESERVED_MODELS = {
    "control": "the control that the harness trains",
    "fused": "the fused target",
    "clm": "the control",
}
RESERVED_BENCHMARKS = {
    "average": "the average of a capability",
    DEFAULT: "the default of comparison.tolerance",
}
CORPUS_KEYS: dict[str, dict[str, bool]] = {  # kind -> key that not every kind has -> is it needed?
    "generated": {"generator": True},
    "files": {"files": True, "column": False},
    "hub": {"dataset": True, "config": False, "split": False, "column": False},
    "python": {},
}
DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?|mps")


def type_mistakes(error: ValidationError, model: type[BaseModel], raw: Any) -> list[str]:
    """Pydantic's errors as sentences, with the paths of a suite."""
    details = [dict(detail) for detail in error.errors(include_url=False)]
    return [_explain(detail, model, raw) for detail in details if not _follows_from_another(detail)]


def version_mistakes(raw: dict[str, Any], supported: int) -> Iterator[str]:
    version = raw.get("version")
    if isinstance(version, int) and version > supported:
        yield f"version: {version} is newer than this FuseGauge supports ({supported}); upgrade FuseGauge"


def cross_mistakes(raw: dict[str, Any], folder: Path) -> Iterator[str]:
    """Mistakes that involve several keys or other files (`folder`: the suite file's)."""
    models = list(_models(raw))
    for path, spec in models:
        yield from _model_mistakes(path, spec, folder)
    yield from _name_mistakes(models, RESERVED_MODELS)
    yield from _name_mistakes(list(_benchmarks(raw)), RESERVED_BENCHMARKS)
    for path, spec in models[1:]:
        if str(spec.get("name", "")).casefold() == "target":
            yield f"{path}.name: 'target' is reserved for the target; rename this source"
    yield from _corpus_mistakes(raw.get("corpus"), folder)
    yield from _evaluation_mistakes(raw.get("training"), raw.get("corpus"))
    yield from _fusion_mistakes(with_preset(raw.get("fusion")))
    yield from _device_mistakes(raw.get("scoring"))
    yield from _published_mistakes(raw.get("comparison"))
    yield from seed_mistakes(raw)
    yield from _tolerance_mistakes(raw)


def _evaluation_mistakes(training: Any, corpus: Any) -> Iterator[str]:
    strategy = training.get("eval_strategy") if isinstance(training, dict) else None
    held_out = corpus.get("evaluation_fraction") if isinstance(corpus, dict) else None
    if isinstance(strategy, str) and strategy != "no" and held_out in (None, 0):
        yield f"training.eval_strategy: {strategy!r} needs corpus.evaluation_fraction above 0"


def _fusion_mistakes(fusion: Any) -> Iterator[str]:
    """Keys of `fusion` that contradict each other; its preset is filled in, and may be one side of it."""
    if not isinstance(fusion, dict):
        return
    vocabulary = fusion.get("vocabulary")
    if fusion.get("compare") == "spelling" and vocabulary in set(VOCABULARY_MAPS) - set(by_spelling()):
        preset = fusion.get("paper")
        of = f" (of fusion.paper {preset})" if "compare" in with_preset({"paper": preset}) else ""
        yield (
            f"fusion.compare: 'spelling'{of} cannot be used with vocabulary {vocabulary!r}, "
            "which compares bytes"
        )
    if fusion.get("lm_loss_weight_schedule") and fusion.get("lm_loss_weight_end") is None:
        yield "fusion.lm_loss_weight_schedule: not used without lm_loss_weight_end"


def _device_mistakes(scoring: Any) -> Iterator[str]:
    device = scoring.get("device") if isinstance(scoring, dict) else None
    if not isinstance(device, str) or DEVICE.fullmatch(device):
        return
    number = re.search(r"\d+$", device)
    valid = ["auto", "cpu", "cuda", f"cuda:{number[0] if number else 0}", "mps"]
    hint = nearest(device.lower().replace("gpu", "cuda"), valid)
    yield f"scoring.device: {device!r} is not one of {', '.join(valid)}{hint}"


def _published_mistakes(comparison: Any) -> Iterator[str]:
    name = comparison.get("published") if isinstance(comparison, dict) else None
    there = published_names()
    if isinstance(name, str) and name not in there:
        yield f"comparison.published: no published results named {name!r}{nearest(name, there)}"


def _tolerance_mistakes(raw: dict[str, Any]) -> Iterator[str]:
    comparison = raw.get("comparison")
    tolerance = comparison.get("tolerance") if isinstance(comparison, dict) else None
    if isinstance(tolerance, dict):
        names = [str(spec.get("name", "")) for _, spec in _benchmarks(raw)]
        capabilities = raw.get("benchmarks")
        names += map(str, capabilities if isinstance(capabilities, dict) else ())
        named = {str(key): value for key, value in tolerance.items()}
        yield from (f"comparison.tolerance: {m}" for m in unknown_names(named, names))


def _models(raw: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(raw.get("target"), dict):
        yield "target", raw["target"]
    yield from _named("sources", raw.get("sources"))


def _benchmarks(raw: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    capabilities = raw.get("benchmarks")
    for capability, rows in capabilities.items() if isinstance(capabilities, dict) else ():
        yield from _named(f"benchmarks.{capability}", rows)


def _named(path: str, rows: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for index, row in enumerate(rows if isinstance(rows, list) else ()):
        if isinstance(row, dict):
            yield f"{path}.{row.get('name', index)}", row


def _name_mistakes(named: Iterable[tuple[str, dict[str, Any]]], reserved: dict[str, str]) -> Iterator[str]:
    """Names become folders and columns, so names that differ only in case count as equal."""
    first: dict[str, str] = {}
    for path, spec in named:
        name = str(spec.get("name", "")).casefold()
        if name in reserved:
            yield f"{path}.name: {name!r} is reserved for {reserved[name]}"
        elif name and name in first:
            yield f"{path}.name: {spec['name']!r} is already the name of {first[name]}"
        first.setdefault(name, path)


def _model_mistakes(path: str, spec: dict[str, Any], folder: Path) -> Iterator[str]:
    model, wheel = spec.get("model"), spec.get("wheel")
    if (model is None) == (wheel is None):
        found = "neither" if model is None else "both"
        yield f"{path}: exactly one of 'model' and 'wheel' is needed, found {found}" + (
            "" if model is None else f" (--set {path}.wheel=null drops the wheel)"
        )
    if isinstance(model, str):
        yield from _reference_mistakes(path, spec, model, folder)
    if isinstance(spec.get("tokenizer"), str):
        yield from _folder_mistakes(f"{path}.tokenizer", spec["tokenizer"], folder)


def _reference_mistakes(path: str, spec: dict[str, Any], model: str, folder: Path) -> Iterator[str]:
    reference = reference_of(model, folder)
    if not isinstance(reference, RandomWeights):
        yield from _folder_mistakes(f"{path}.model", model, folder)
        yield from _content_mistakes(f"{path}.model", reference)
        return
    if not reference.model_type:
        yield f"{path}.model: 'random:' needs a model type, such as random:llama"
    if spec.get("tokenizer") is None:
        yield f"{path}: random weights need 'tokenizer', a folder or hub id whose vocabulary they get"


def _folder_mistakes(path: str, text: str, folder: Path) -> Iterator[str]:
    reference = reference_of(text, folder)
    if isinstance(reference, LocalFolder) and not reference.path.is_dir():
        siblings = reference.path.parent.iterdir() if reference.path.parent.is_dir() else ()
        hint = nearest(reference.path.name, [s.name for s in siblings if s.is_dir()])
        yield f"{path}: no folder {reference.path}{hint}; a hub model is written owner/name"


def _content_mistakes(path: str, reference: ModelReference) -> Iterator[str]:
    """Mistakes in a local model's files; pickled weights are refused, since loading them can run code."""
    if not isinstance(reference, LocalFolder) or not reference.path.is_dir():
        return
    names = {p.name for p in reference.path.iterdir()}
    lacks = [] if "config.json" in names else ["no config.json"]
    if not any(n.endswith(".safetensors") for n in names):
        pickled = sorted(n for n in names if n.endswith((".bin", ".pt", ".pth")))
        only = f" (weights only as pickle: {pickled[0]}, which can run code)" if pickled else ""
        lacks.append(f"no *.safetensors{only}")
    if lacks:
        made = (
            "convert them with fusion.models.convert_pickle"
            if "pickle" in lacks[-1]
            else "it is not a model folder"
        )
        yield f"{path}: {reference.path} has {' and '.join(lacks)}; {made}"


def _corpus_mistakes(corpus: Any, folder: Path) -> Iterator[str]:
    kind = corpus.get("kind") if isinstance(corpus, dict) else None
    if not isinstance(kind, str) or kind not in CORPUS_KEYS:
        return
    for key, needed in CORPUS_KEYS[kind].items():
        if needed and not corpus.get(key):
            yield f"corpus.{key}: needed with kind {kind}"
    for key in sorted({key for keys in CORPUS_KEYS.values() for key in keys} - set(CORPUS_KEYS[kind])):
        if corpus.get(key):
            owners = [k for k, keys in CORPUS_KEYS.items() if key in keys]
            yield f"corpus.{key}: not used with kind {kind}, only with {' and '.join(owners)}; remove it"
    if kind == "files":
        yield from _file_mistakes(corpus.get("files"), folder)


def _file_mistakes(files: Any, folder: Path) -> Iterator[str]:
    from harness.suite.references import matching_files

    for pattern in [files] if isinstance(files, str) else files if isinstance(files, list) else ():
        if isinstance(pattern, str) and not matching_files(pattern, folder):
            yield f"corpus.files: no file matches {pattern!r} in {folder} (the suite's) or {Path.cwd()}"


def _explain(detail: dict[str, Any], model: type[BaseModel], raw: Any) -> str:
    location, kind = detail["loc"], detail["type"]
    path = _spell(location, raw)
    given = detail.get("input")
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{path}: unknown key{meant(str(location[-1]), _keys_at(model, location[:-1]))}"
    if kind == "missing":
        return f"{path}: missing"
    if kind == "literal_error":
        valid = detail["ctx"].get("names") or _literals_at(model, location)
        listed = ", ".join(map(repr, valid)) or detail["ctx"]["expected"]
        hint = meant(given, valid) if isinstance(given, str) else ""
        return f"{path}: {given!r} is not one of {listed}{hint}"
    message = detail["msg"]
    return f"{path}: {message[0].lower()}{message[1:]}, not {_short(given)}"


def _follows_from_another(detail: dict[str, Any]) -> bool:
    """Pydantic also calls a list too short when its elements are wrong, which is reported already."""
    return bool(detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"])


def _short(value: Any) -> str:
    text = redact(repr(value))  # before it is cut: half of a password would not be recognised
    return text if len(text) <= 60 else f"{text[:57]}..."


def _spell(location: tuple[int | str, ...], raw: Any) -> str:
    """The dotted path, with list elements by name where they have one (as in `--set`)."""
    steps = []
    for step in location:
        raw = _child(raw, step)
        named = isinstance(step, int) and isinstance(raw, dict) and "name" in raw
        steps.append(str(raw["name"]) if named else str(step))
    return ".".join(steps) or "suite"


def _child(raw: Any, step: int | str) -> Any:
    if isinstance(raw, dict):
        return raw.get(step)
    return raw[step] if isinstance(raw, list) and isinstance(step, int) and step < len(raw) else None


def _annotation_at(model: type[BaseModel], location: tuple[int | str, ...]) -> Any:
    """The type at `location`, walking through models, tuples, dicts and unions with None."""
    annotation: Any = model
    for step in location:
        annotation = _model_in(annotation) or annotation
        if _is_section(annotation):
            field = annotation.__pydantic_fields__.get(str(step))
            annotation = field.annotation if field else None
        else:
            arguments = [a for a in get_args(annotation) if a not in (Ellipsis, type(None))]
            annotation = arguments[-1] if arguments else None
    return annotation


def _is_section(annotation: Any) -> bool:
    """Whether it is a part of a suite: a pydantic model or dataclass."""
    return isinstance(annotation, type) and hasattr(annotation, "__pydantic_fields__")


def _model_in(annotation: Any) -> Any:
    """The part of a suite in `Part` and in `Part | None`; None where there is none."""
    options = [annotation, *(a for a in get_args(annotation) if type(None) in get_args(annotation))]
    return next((o for o in options if _is_section(o)), None)


def _keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    found = _model_in(_annotation_at(model, location))
    return list(found.__pydantic_fields__) if found else []


def _literals_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[Any]:
    annotation = _annotation_at(model, location)
    options = [a for o in get_args(annotation) for a in (get_args(o) or (o,))]
    return [o for o in options if isinstance(o, str | int)]
