"""Example items that fused gained and lost, with the answers of all models."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from harness.comparison.compare import same_items
from harness.core.formats import number
from harness.core.record import BenchmarkEntry, Item, ModelEntry, Role, RunRecord
from harness.core.run_files import items_path, read_items
from harness.report.markup import Markup, tag

PER_KIND = 2  # examples of each kind per capability
PROMPT_END = 700  # characters: the question is at the end of a few-shot prompt
ANSWER_START = 400


@dataclass(frozen=True)
class Example:
    """One item and what each model answered."""

    benchmark: str
    kind: str  # gained or lost
    metric: str
    answers: tuple[tuple[ModelEntry, Item], ...]


def read_examples(record: RunRecord, run_dir: Path) -> dict[str, list[Example]]:
    """Per capability a few items that fused gained or lost; {} without fused or the target before training.

    Raises InputError where the models' items are not the same.
    """
    if not {Role.TARGET, Role.FUSED} <= {m.role for m in record.models}:
        return {}
    found: dict[str, list[list[Example]]] = {}
    for benchmark in record.benchmarks:
        found.setdefault(benchmark.capability, []).append(_examples(record, run_dir, benchmark))
    return {capability: choose(each) for capability, each in found.items() if any(each)}


def _examples(record: RunRecord, run_dir: Path, benchmark: BenchmarkEntry) -> list[Example]:
    paths = {m.name: items_path(run_dir, benchmark.name, m.name) for m in record.models}
    if not all(path.is_file() for path in paths.values()):
        return []
    items = same_items(benchmark.name, {n: read_items(path) for n, path in paths.items()}, list(paths))
    paired = [tuple(zip(record.models, row, strict=True)) for row in zip(*items.values(), strict=True)]
    metric = benchmark.metrics[0]
    scored = [answers for answers in paired if all(metric in item.scores for _, item in answers)]
    kinds = (
        ("gained", [a for a in scored if _change(a, metric) > 0]),
        ("lost", [a for a in scored if _change(a, metric) < 0]),
    )
    return [
        Example(benchmark.name, kind, metric, answers)
        for kind, found in kinds
        for answers in _telling(found, metric)
    ]


def _by_role(answers: Sequence[tuple[ModelEntry, Item]], role: Role) -> Item | None:
    return next((item for model, item in answers if model.role is role), None)


def _change(answers: Sequence[tuple[ModelEntry, Item]], metric: str) -> float:
    before, after = _by_role(answers, Role.TARGET), _by_role(answers, Role.FUSED)
    return after.scores[metric] - before.scores[metric] if before and after else 0.0


def _telling(
    found: Sequence[tuple[tuple[ModelEntry, Item], ...]], metric: str
) -> list[tuple[tuple[ModelEntry, Item], ...]]:
    """Items on which fused and control differ first: training without sources does not explain them."""

    def shared_with_control(answers: tuple[tuple[ModelEntry, Item], ...]) -> bool:
        control, fused = _by_role(answers, Role.CONTROL), _by_role(answers, Role.FUSED)
        return bool(control and fused and control.scores[metric] == fused.scores[metric])

    return sorted(found, key=shared_with_control)[:PER_KIND]


def choose(examples: Sequence[Sequence[Example]]) -> list[Example]:
    """A few gained, then a few lost, from as many different benchmarks as possible."""
    chosen = []
    for kind in ("gained", "lost"):
        found = [[e for e in each if e.kind == kind] for each in examples]
        by_turns = [e for turn in zip_longest(*found) for e in turn if e is not None]
        chosen += by_turns[:PER_KIND]
    return chosen


def example_block(example: Example) -> Markup:
    """The end of the prompt, then the right answer and the answers of all models."""
    first = example.answers[0][1]
    rows = [_answer_row("right answer", "", first.gold, "")]
    rows += [_model_row(model, item, example.metric) for model, item in example.answers]
    sign = "▲ gained" if example.kind == "gained" else "▼ lost"
    title = tag("b", sign, class_="gain" if example.kind == "gained" else "loss")
    return tag(
        "div",
        tag("p", title, " ", tag("span", f"{first.task}, item {first.item}", class_="muted")),
        tag("pre", _ending(first.prompt), class_="prompt", tabindex="0"),
        tag("table", tag("tbody", rows)),
        class_="example",
    )


def _model_row(model: ModelEntry, item: Item, metric: str) -> Markup:
    score = item.scores[metric]
    if score in (0.0, 1.0):
        mark, css = ("✓ right", "right") if score else ("✗ wrong", "wrong")
    else:
        mark, css = f"{metric} {number(100 * score)}", ""
    return _answer_row(model.name, mark, item.prediction, css)


def _answer_row(name: str, mark: str, text: str, css: str) -> Markup:
    return tag(
        "tr",
        tag("th", name, scope="row"),
        tag("td", mark, class_=f"mark {css}".strip()),
        tag("td", tag("pre", _beginning(text)), class_="answer"),
    )


def _ending(text: str) -> str:
    return text if len(text) <= PROMPT_END else "… " + text[-PROMPT_END:].lstrip()


def _beginning(text: str) -> str:
    return text if len(text) <= ANSWER_START else text[:ANSWER_START].rstrip() + " …"
