"""Parses a suite's YAML, with line numbers in error messages, and applies `--set key=value` overrides."""

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from harness.core.exceptions import nearest

Raw = dict[str, Any]


def read_yaml(text: str) -> tuple[Raw | None, list[str]]:
    """Plain data and the mistakes found; None in place of the data if the text is not a YAML mapping."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        return None, [_syntax_mistake(error)]
    if not isinstance(data, dict):
        return None, [f"a suite is a mapping of keys to values, this file holds {_kind(data)}"]
    mistakes = list(_duplicate_keys(node, ""))
    return {str(key): value if mistakes else _unshared(value) for key, value in data.items()}, mistakes


def _unshared(value: Any) -> Any:
    """A copy that shares no objects: YAML aliases do, and overriding one must not change the others."""
    if isinstance(value, dict):
        return {key: _unshared(each) for key, each in value.items()}
    return [_unshared(each) for each in value] if isinstance(value, list) else value


def apply_overrides(raw: Raw, overrides: Sequence[str]) -> list[str]:
    """Write each `a.b.c=value` into `raw`, list elements by index or name; returns the mistakes."""
    mistakes = []
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key.strip():
            mistakes.append(f"--set {override!r}: expected key=value, such as fusion.top_k=20")
            continue
        try:
            _assign(raw, key.strip(), yaml.safe_load(text))
        except yaml.YAMLError as error:
            mistakes.append(f"--set {key.strip()}: {_syntax_mistake(error)}")
        except LookupError as error:
            mistakes.append(f"--set {key.strip()}: {error.args[0]}")
    return mistakes


def _syntax_mistake(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    problem = getattr(error, "problem", None) or str(error)
    return f"YAML syntax: {place}{problem}"


def _kind(data: Any) -> str:
    return "nothing" if data is None else f"a {type(data).__name__}"


def _duplicate_keys(node: yaml.Node | None, path: str, above: tuple[yaml.Node, ...] = ()) -> Iterator[str]:
    """Keys given twice, of which YAML silently keeps the last, and aliases that contain themselves."""
    if any(node is ancestor for ancestor in above):
        yield f"{path.rstrip('.')}: the alias refers to a part of the file that contains it"
        return
    above = (*above, node) if node else above
    if isinstance(node, yaml.SequenceNode):
        for index, element in enumerate(node.value):
            yield from _duplicate_keys(element, f"{path}{index}.", above)
    if not isinstance(node, yaml.MappingNode):
        return
    first: dict[str, int] = {}
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in first:
            column = key.start_mark.column + 1
            yield f"{path}{name}: key given twice (line {first[name]}, and line {line}, column {column})"
        first.setdefault(name, line)
        yield from _duplicate_keys(value, f"{path}{name}.", above)


def _assign(container: Any, path: str, value: Any) -> None:
    step, rest = _first_step(container, path)
    if not rest:
        container[step] = value
        return
    child = container[step] if isinstance(container, list) else container.get(step)
    if child is None:
        child = container[step] = {}
    if not isinstance(child, dict | list):
        raise LookupError(f"{step} is {child!r} and has no keys, so {rest!r} cannot be set in it")
    _assign(child, rest, value)


def _first_step(container: Any, path: str) -> tuple[Any, str]:
    """The first key or index of a path, and the rest. Names may contain dots: the longest match is used."""
    if isinstance(container, dict):
        step, _, rest = path.partition(".")
        return step, rest
    names = {str(e["name"]): i for i, e in enumerate(container) if isinstance(e, dict) and "name" in e}
    for name in sorted(names, key=len, reverse=True):
        if path == name or path.startswith(f"{name}."):
            return names[name], path[len(name) + 1 :]
    step, _, rest = path.partition(".")
    if step.isdecimal() and int(step) < len(container):
        return int(step), rest
    valid = [*names, *map(str, range(len(container)))]
    raise LookupError(f"no element {step!r}{nearest(step, names)}; there are {', '.join(valid) or 'none'}")
