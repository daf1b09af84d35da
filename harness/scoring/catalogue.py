"""Index of lm-eval's tasks: their names, YAML files and datasets.

lm-eval's own index parses all of its 14,000 YAML files (11 s), but a benchmark needs only a few. A text
search finds the folders that declare the requested names, and only these are indexed. The full index is used
only for names that span several folders: tags, and groups with members in other folders.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.core.exceptions import nearest
from harness.data.mirror import DatasetRef
from harness.scoring.options import ScoringOptions
from harness.scoring.quiet import hushed
from harness.suite.spec import BenchmarkSpec

_NAME = rb"""["']?([^\s"'#\[\],]+)"""
_DECLARATION = re.compile(rb"""^["']?(?:task|group|tag)["']?[ ]*:[ ]*""" + _NAME, re.MULTILINE)
_TAGS = re.compile(rb"""^["']?tag["']?[ ]*:[ ]*\n((?:[ ]*-[ ].*\n?)+)""", re.MULTILINE)
_TAG = re.compile(rb"-[ ]*" + _NAME)


def task_manager(names: Sequence[str], options: ScoringOptions) -> Any:
    """lm-eval TaskManager that contains all of `names` that exist; cached for the process."""
    own = _manager((), options.task_folders)
    missing = tuple(sorted(set(names) - set(own.all_tasks)))
    if not missing:
        return own
    folders, unknown = _declaring_folders(missing)
    small = _manager(folders, options.task_folders)
    if all(_is_whole(small.task_index, name) for name in names if name not in unknown):
        return small
    return _manager(None, options.task_folders)


def unknown_tasks(names: Sequence[str], options: ScoringOptions) -> list[str]:
    """An error sentence for each task name that lm-eval does not know, with the nearest valid name."""
    manager = task_manager(names, options)
    unknown = [name for name in names if name not in manager.task_index]
    candidates = {*manager.all_tasks, *_declarations()} if unknown else set()
    return [f"unknown task {name!r}{nearest(name, sorted(candidates))}" for name in unknown]


def datasets_of(benchmark: BenchmarkSpec, options: ScoringOptions) -> list[DatasetRef]:
    """Hub datasets that a benchmark's tasks use, found without loading them.

    Unknown tasks, and tasks whose items come from code or local files, contribute none.
    """
    index = task_manager(benchmark.tasks, options).task_index
    configs = [config for name in benchmark.tasks for config in _configs(index, name, {})]
    return list(dict.fromkeys(ref for config in configs if (ref := _dataset(config))))


def _dataset(config: dict[str, Any]) -> DatasetRef | None:
    from harness.data.mirror import is_local

    path = config.get("dataset_path")
    if config.get("custom_dataset") or not isinstance(path, str) or is_local(path):
        return None
    return DatasetRef(path, config.get("dataset_name"))


def _configs(index: Any, name: str, overrides: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Configurations of the leaf tasks under a task, group or tag."""
    entry = index.get(name)
    if entry is None:
        return
    if entry.cfg is None:  # a tag
        for child in sorted(entry.tags):
            yield from _configs(index, child, overrides)
    elif isinstance(children := entry.cfg.get("task"), list):
        for child in children:
            own = child if isinstance(child, dict) else {}
            called = own.get("task") or own.get("group") if own else child
            yield from _configs(index, str(called), {**overrides, **own})
    else:
        yield {**entry.cfg, **overrides}


def _is_whole(index: Any, name: str) -> bool:
    """Whether a task or group and all of its members are in the index."""
    entry = index.get(name)
    if entry is None or entry.cfg is None:
        return False
    children = entry.cfg.get("task")
    if not isinstance(children, list):
        return True
    return all(isinstance(child, str) and _is_whole(index, child) for child in children)


@lru_cache(maxsize=8)
def _manager(folders: tuple[Path, ...] | None, own: tuple[Path, ...]) -> Any:
    """TaskManager for these lm-eval folders (None: all) and our own, which take precedence."""
    from lm_eval.tasks import TaskManager

    paths = [*(folders or ()), *own]
    with hushed():
        return TaskManager(include_path=paths, include_defaults=folders is None)


def _declaring_folders(names: Sequence[str]) -> tuple[tuple[Path, ...], set[str]]:
    """lm-eval folders whose YAML declares one of `names`, and the names that no folder declares."""
    places = _declarations()
    folders = {folder for name in names for folder in places.get(name, ())}
    # Of equal names, this index keeps the one in the last folder, the full index the one in the first.
    return tuple(sorted(folders, reverse=True)), {name for name in names if name not in places}


@lru_cache(maxsize=1)
def _declarations() -> dict[str, frozenset[Path]]:
    import lm_eval.tasks

    places: dict[str, set[Path]] = {}
    for path in Path(lm_eval.tasks.__file__).parent.rglob("*.yaml"):
        text = path.read_bytes()
        tags = [tag for block in _TAGS.findall(text) for tag in _TAG.findall(block)]
        for name in {*_DECLARATION.findall(text), *tags}:
            places.setdefault(name.decode(), set()).add(path.parent)
    return {name: frozenset(folders) for name, folders in places.items()}
