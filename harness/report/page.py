"""The report as one HTML page, verdict first."""

from collections.abc import Sequence
from pathlib import Path

from harness.formats import duration, plural
from harness.report import background, examples, tables
from harness.report.markup import Child, Markup, join, tag
from harness.report.published import published_section
from harness.report.style import STYLE
from harness.results import Row, RunRecord
from harness.view import likelihood_rows, score_rows

SCORES_LEDE = (
    "Under each score: fused minus that model on the same items, and its {level} interval. ▲ fused is "
    "better, ▼ worse, after correction for many comparisons; △ ▽ only before it; no mark: no clear change."
)
LIKELIHOOD_LEDE = (
    "Bits per byte of the right answer's text; lower is better, so a negative difference is good. It does "
    "not depend on how a model cuts text into tokens, and sees more than right or wrong does."
)
PUBLISHED_LEDE = (
    "Not paired: other items, other software and another machine, so no intervals and no tests. Percent."
)
METHOD = (
    "Every model answers the same items, and differences are taken item by item.",
    "Intervals: paired percentile bootstrap, {resamples} resamples, within each benchmark, seeded. An "
    "interval of a single point means that the items left no spread to resample.",
    "Tests: exact McNemar where answers are right or wrong, otherwise sign-flip permutation. Correction: "
    "Holm, over the rows of the same kind (capabilities, headline metrics, other metrics) for one opponent. "
    "Marks follow the tests; close to the edge an interval may say otherwise.",
    "The verdict compares fused with the control, which had the same training without sources, on the "
    "capabilities' averages.",
)
OUTCOMES = {
    "gain": "▲ Gain",
    "loss": "▼ Loss",
    "mixed": "▲▼ Mixed",
    "no change": "No clear change",
    "none": "No verdict",
}


def page(record: RunRecord, run_dir: Path) -> str:
    """The whole document. Reads the items that lie in `run_dir`."""
    body = tag("main", _opening(record), _results(record), _changes(record, run_dir), _background(record))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{record.suite.get('name', 'run')}: {OUTCOMES[record.comparison.verdict.outcome]}"),
        tag("style", Markup(STYLE)),
    )
    return "<!doctype html>\n" + tag("html", head, tag("body", body), lang="en") + "\n"


def _opening(record: RunRecord) -> Markup:
    verdict = record.comparison.verdict
    # the verdict's clauses are separated by semicolons: the first carries the answer
    first, *others = (_sentence(clause) for clause in verdict.sentence.split("; "))
    lines = [tag("p", clause) for clause in others]
    items = sum(b.items for b in record.benchmarks)
    models, benchmarks = plural(len(record.models), "model"), plural(len(record.benchmarks), "benchmark")
    counts = f"{models}, {benchmarks}, {items:,} items"
    return join(
        [
            tag("h1", f"FuseGauge report: {record.suite.get('name', '')}"),
            tag("div", f"{record.run}. {counts}. {_time(record)}", class_="run"),
            tag(
                "div",
                tag("p", OUTCOMES[verdict.outcome], class_="outcome"),
                tag("p", first, class_="first"),
                lines,
                class_=f"verdict {verdict.outcome.replace(' ', '-')}",
            ),
        ]
    )


def _sentence(clause: str) -> str:
    return clause[:1].upper() + clause[1:].removesuffix(".") + "."


def _time(record: RunRecord) -> str:
    return f"{duration(sum(s.seconds for s in record.stages))} of work in all."


def _results(record: RunRecord) -> Markup:
    comparison = record.comparison
    level = f"{100 * comparison.confidence:g} %"
    return join(
        [
            _section(
                "Scores by capability",
                "Each capability counts its benchmarks the same.",
                tables.capability_picture(comparison),
            ),
            _section(
                "Benchmarks",
                f"Percent. {SCORES_LEDE.format(level=level)}",
                _table_of(record, score_rows(comparison)),
            ),
            _section(
                "Likelihood of the right answer",
                LIKELIHOOD_LEDE,
                _table_of(record, likelihood_rows(comparison)),
            ),
            _section("Beside published numbers", PUBLISHED_LEDE, published_section(record)),
        ]
    )


def _table_of(record: RunRecord, rows: Sequence[Row]) -> Markup | None:
    return tables.score_table(record.comparison, rows) if rows else None


def _changes(record: RunRecord, run_dir: Path) -> Markup | None:
    changes = examples.read_changes(record, run_dir)
    if not changes:
        return None
    capabilities = dict.fromkeys(c.benchmark.capability for c in changes)
    blocks = [_capability_examples(name, changes) for name in capabilities]
    return _section(
        "Items gained and lost",
        "Gained: the target before training was wrong and fused is right (or scores higher). "
        "Examples start with those where training without sources did not do the same.",
        [examples.change_table(changes), blocks],
    )


def _capability_examples(capability: str, changes: Sequence[examples.Changes]) -> Markup | None:
    chosen = examples.choose([c for c in changes if c.benchmark.capability == capability])
    return join([tag("h3", capability), [examples.example_block(e) for e in chosen]]) if chosen else None


def _background(record: RunRecord) -> Markup:
    notes = [tag("p", note) for note in record.notes]
    return join(
        [
            _section("Training", "", background.training_panels(record)),
            _section(
                "What the sources taught",
                "How much of each source's predictions survived alignment and vocabulary map, by part of the "
                "corpus, and whom the fusion function chose as teacher. Where a tokenizer changes the text "
                "(case, normal forms), its windows are aligned by character offsets.",
                background.transfer_table(record),
            ),
            _section("Cost", "", background.cost_table(record)),
            _section("Stages", "", background.stage_table(record)),
            _section("Notes", "", notes),
            _section("How to repeat it", "", background.reproducibility(record)),
            _section("How the numbers are made", "", _method(record)),
        ]
    )


def _method(record: RunRecord) -> list[Markup]:
    resamples = record.suite.get("comparison", {}).get("resamples", "many")
    return [tag("p", text.format(resamples=resamples)) for text in METHOD]


def _section(title: str, lede: str, content: Child) -> Markup:
    """A headed part of the page; nothing where there is no content."""
    if not content:
        return Markup("")
    return join([tag("h2", title), tag("p", lede, class_="lede") if lede else None, content])
