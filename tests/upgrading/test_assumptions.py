"""What is assumed of libraries holds, and nothing else of theirs that is private is used."""

import ast
from collections import Counter

import pytest

from tests.upgrading.assumption import Assumption
from tests.upgrading.entries import ASSUMPTIONS
from tests.upgrading.scan import Use, sources, spelled, uses

DOCUMENTED = {  # attributes that are private or set by design
    **dict.fromkeys(("pre_tokenizer", "normalizer", "decoder", "post_processor"), "parts of a tokenizer"),
    "gradients": "what torch.autograd.Function keeps for its backward pass",
    "body": "of a syntax tree",
    "_fields": "of a named tuple",
    "_exit": "of os",
}
OWN = {
    Use(
        "benchmarks.code_eval_procedure", "Popen"
    ): "the metric that it measures does so, in a process of its own",
    Use("benchmarks.code_eval_procedure", "rmdir"): "the same",
    Use("benchmarks.code_eval_procedure", "unlink"): "the same",
    Use("harness.sandbox.inside.first", "__dict__"): "a module that it makes itself",
}


@pytest.mark.slow
@pytest.mark.parametrize("assumption", ASSUMPTIONS, ids=lambda assumption: assumption.test)
def test_assumption(assumption: Assumption) -> None:
    assumption.verify()


@pytest.mark.slow
def test_each_assumption_is_named_once_and_used_where_it_says() -> None:
    twice = [name for name, count in Counter(entry.test for entry in ASSUMPTIONS).items() if count > 1]
    assert not twice
    texts = {module: spelled(tree) for module, tree in sources().items()}
    for entry in ASSUMPTIONS:
        unknown = [module for module in entry.used_in if module not in texts]
        assert not unknown, f"{entry.name}: no module {unknown}"
        idle = [m for m in entry.used_in if not any(word in texts[m] for word in entry.spellings)]
        assert not idle, f"{entry.library} {entry.name} is not used in {idle} any more: correct its entry"
        unused = [word for word in entry.spellings if not any(word in texts[m] for m in entry.used_in)]
        assert not unused, f"{entry.library} {entry.name}: {unused} occurs nowhere: correct its entry"


@pytest.mark.slow
def test_no_other_private_name_of_a_library_is_used() -> None:
    listed = {
        Use(module, word) for entry in ASSUMPTIONS for module in entry.used_in for word in entry.spellings
    }
    found = uses(sources())
    others = sorted(use for use in found - listed - set(OWN) if use.name not in DOCUMENTED)
    assert not others, (
        "use a public name, or enter these into tests/upgrading/of_*.py with a check: "
        + ", ".join(f"{name} in {module}" for module, name in others)
    )
    assert set(OWN) <= found
    assert set(DOCUMENTED) <= {use.name for use in found} | {"decoder"}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("task._hidden", "_hidden"),
        ("from lib import _hidden", "_hidden"),
        ("from lib._hidden import public", "_hidden"),
        ("import lib._hidden", "_hidden"),
        ("getattr(lm, '_hidden', None)", "_hidden"),
        ("stack.enter(replaced(lib, 'public', value))", "public"),
        ("setattr(lib.module, 'public', value)", "public"),
        ("lib.public = value", "public"),
        ("lib.public, other = values", "public"),
        ("del config.public", "public"),
        ("class A:\n @property\n def __class__(self): return B", "__class__"),
        ("class A(Unknown):\n def f(self): return super()._hidden()", "_hidden"),
        ("from pathlib import Path\nclass A(Path):\n def _parse_args(self): ...", "_parse_args"),
    ],
)
def test_the_scan_finds(source: str, name: str) -> None:
    assert uses({"m": ast.parse(source)}) == {Use("m", name)}


@pytest.mark.parametrize(
    "source",
    [
        "self._own = 1\nother._own",
        "class A:\n public: int\nA().public = 2",
        "def _own(): ...\nmodule._own()",
        "lib.public",
        "self.public = 1",
        "'_text'",
        "class A:\n def _own(self): ...",
    ],
)
def test_the_scan_passes_by(source: str) -> None:
    assert uses({"m": ast.parse(source)}) == set()


def test_a_broken_assumption_says_what_broke() -> None:
    def check() -> None:
        raise AttributeError("no attribute '_filters'")

    broken = Assumption(
        "lm_eval", "Task._filters", ("_filters",), ("harness.a",), "a list", "none", "all", check
    )
    with pytest.raises(AssertionError) as failed:
        broken.verify()
    for part in (
        r"lm_eval \d",
        r"Task\._filters",
        r"harness\.a",
        "a list",
        "all",
        "AttributeError: no attribute",
    ):
        assert failed.match(part)
