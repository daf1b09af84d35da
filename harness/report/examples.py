"""Items that fusion gained and lost, with every model's answer beside each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from harness.formats import number
from harness.items import items_path, read_items
from harness.report.markup import Markup, tag
from harness.results import BenchmarkEntry, Item, ModelEntry, Role, RunRecord

PER_KIND = 2  # examples of each kind per capability
PROMPT_END = 700  # characters: a few-shot prompt asks its question at the end
ANSWER_START = 400


@dataclass(frozen=True)
class Example:
    """One item and what each model answered."""

    benchmark: str
    kind: str  # gained or lost
    metric: str
    answers: tuple[tuple[ModelEntry, Item], ...]


@dataclass(frozen=True)
class Changes:
    """Counts of one benchmark against the target before training, and examples."""

    benchmark: BenchmarkEntry
    gained: int
    lost: int
    kept: int
    examples: tuple[Example, ...]


def read_changes(record: RunRecord, run_dir: Path) -> list[Changes]:
    """Per scored benchmark what changed from the target before training to fused; [] without one of them."""
    roles = {m.role for m in record.models}
    if not {Role.TARGET, Role.FUSED} <= roles:
        return []
    found = (_changes(record, run_dir, b) for b in record.benchmarks)
    return [c for c in found if c is not None]


def _changes(record: RunRecord, run_dir: Path, benchmark: BenchmarkEntry) -> Changes | None:
    if not all(items_path(run_dir, benchmark.name, m.name).is_file() for m in record.models):
        return None
    items = [
        sorted(read_items(items_path(run_dir, benchmark.name, m.name)), key=_hash) for m in record.models
    ]
    paired = [tuple(zip(record.models, row, strict=True)) for row in zip(*items, strict=False)]
    metric = benchmark.metrics[0]
    scored = [answers for answers in paired if all(metric in item.scores for _, item in answers)]
    if not scored:
        return None
    gained = [a for a in scored if _change(a, metric) > 0]
    lost = [a for a in scored if _change(a, metric) < 0]
    kinds = (("gained", gained), ("lost", lost))
    examples = [
        Example(benchmark.name, kind, metric, a) for kind, found in kinds for a in _telling(found, metric)
    ]
    return Changes(benchmark, len(gained), len(lost), len(scored) - len(gained) - len(lost), tuple(examples))


def _hash(item: Item) -> str:
    return item.item


def _by_role(answers: Sequence[tuple[ModelEntry, Item]], role: Role) -> Item | None:
    return next((item for model, item in answers if model.role is role), None)


def _change(answers: Sequence[tuple[ModelEntry, Item]], metric: str) -> float:
    before, after = _by_role(answers, Role.TARGET), _by_role(answers, Role.FUSED)
    return after.scores[metric] - before.scores[metric] if before and after else 0.0


def _telling(
    found: Sequence[tuple[tuple[ModelEntry, Item], ...]], metric: str
) -> list[tuple[tuple[ModelEntry, Item], ...]]:
    """First those that the control did not change the same way: they are fusion's own doing."""

    def shared_with_control(answers: tuple[tuple[ModelEntry, Item], ...]) -> bool:
        control, fused = _by_role(answers, Role.CONTROL), _by_role(answers, Role.FUSED)
        return bool(control and fused and control.scores[metric] == fused.scores[metric])

    return sorted(found, key=shared_with_control)[:PER_KIND]


def choose(changes: Sequence[Changes]) -> list[Example]:
    """A few gained, then a few lost, from as many of these benchmarks as possible."""
    chosen = []
    for kind in ("gained", "lost"):
        found = [[e for e in c.examples if e.kind == kind] for c in changes]
        by_turns = [e for turn in zip_longest(*found) for e in turn if e is not None]
        chosen += by_turns[:PER_KIND]
    return chosen


def change_table(changes: Sequence[Changes]) -> Markup:
    """Counts of items gained, lost and unchanged, as numbers and bars."""
    titles = (("Benchmark", None), ("gained", "number"), ("", "drawn"), ("lost", "number"), ("", "drawn"))
    head = [tag("th", t, scope="col", class_=c) for t, c in (*titles, ("unchanged", "number"))]
    rows = [_count_row(c) for c in changes]
    return tag("table", tag("thead", tag("tr", head)), tag("tbody", rows), class_="changes")


def _count_row(c: Changes) -> Markup:
    n = c.gained + c.lost + c.kept
    counts = [
        *_counted(c.gained, n, "gain"),
        *_counted(c.lost, n, "loss"),
        tag("td", c.kept, class_="number"),
    ]
    return tag("tr", tag("th", c.benchmark.name, scope="row"), counts)


def _counted(count: int, n: int, kind: str) -> tuple[Markup, Markup]:
    """A number, and its share of n as a bar."""
    bar = tag("span", class_="bar", style=f"width:{100 * count / n:.1f}%;background:var(--{kind})")
    return tag("td", count, class_="number"), tag("td", bar, class_="drawn")


def example_block(example: Example) -> Markup:
    """The end of the prompt, then the right answer and every model's."""
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
