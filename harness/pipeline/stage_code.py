"""The modules that decide what a stage writes: its body's file and all its imports, but for listed ones."""

import ast
import re
from collections.abc import Iterator
from functools import cache

from harness.core.code_version import source_of, syntax_tree

PROJECT = ("fusion", "harness")
NAME = re.compile(r"\w+(\.\w+)+")

# Modules, and packages with everything in them, whose edits do not cause a stage to be computed again.
NOT_COUNTED = (
    # their values are part of a stage's key as parameters
    "fusion.choices",
    "fusion.method",
    "harness.suite",
    # messages, files, formats and checksums: no result depends on them
    "fusion.errors",
    "harness.core",
    "harness.data.model_files",
    "harness.data.wheels",
    "harness.pipeline.stage",
    "harness.pipeline.store",
    # the key of a scoring stage has a hash of tasks, data, few-shot examples and the way code is run
    "harness.scoring.availability",
    "harness.scoring.benchmark_checks",
    "harness.scoring.benchmark_data",
    "harness.scoring.catalogue",
    "harness.scoring.fingerprint",
    "harness.scoring.options",
    "harness.scoring.quiet",
    "harness.scoring.task_table",
    # isolation does not change the verdict on a program that does not attack it; what judges it is counted
    "harness.sandbox.backends",
    "harness.sandbox.cache",
    "harness.sandbox.executor",
    "harness.sandbox.inside.first",
    "harness.sandbox.inside.landlock_inside",
    "harness.sandbox.inside.probe",
    "harness.sandbox.job",
    "harness.sandbox.languages.compare_logic",
    "harness.sandbox.languages.self_test",
    "harness.sandbox.languages.table",
    "harness.sandbox.languages.toolchains",
    "harness.sandbox.metric",
    "harness.sandbox.pool",
    "harness.sandbox.processes",
    "harness.sandbox.program_verdict",
    "harness.sandbox.run",
    "harness.sandbox.users",
    "harness.sandbox.watch",
)


@cache
def modules_behind(module: str) -> tuple[str, ...]:
    """The module and all of this project that it imports at run time, directly or indirectly; sorted."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found and not _is_left_out(name):
            found.add(name)
            waiting += [*_imports(name), *_packages_of(name)]
    return tuple(sorted(found))


def _packages_of(module: str) -> Iterator[str]:
    """The packages that a module lies in: importing it runs them too."""
    parts = module.split(".")
    yield from (".".join(parts[:end]) for end in range(1, len(parts)))


def _is_left_out(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in NOT_COUNTED)


@cache
def _imports(module: str) -> tuple[str, ...]:
    """Modules of the project that a module imports, also within functions, but not for type checkers only.

    A string "module" or "module:name" counts too: lm-eval imports classes by such strings.
    """
    found: set[str] = set()
    for node in _executed(syntax_tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {_module_of(node.module, alias.name) for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value.partition(":")[0])
    return tuple(sorted(name for name in found if _is_ours(name)))


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a tree, without the blocks that only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _executed(child)


def _is_ours(module: str) -> bool:
    named = module.partition(".")[0] in PROJECT and NAME.fullmatch(module) is not None
    return named and source_of(module) is not None


def _module_of(package: str, name: str) -> str:
    """`package.name` where that is a module, else the package or module that defines the name."""
    return f"{package}.{name}" if _is_ours(f"{package}.{name}") else package
