"""The report as one HTML page, verdict first."""

from collections.abc import Sequence
from pathlib import Path

from harness.core.formats import duration, plural
from harness.core.record import Role, Row, RunRecord
from harness.report import examples, tables
from harness.report import provenance as background
from harness.report.css import STYLE
from harness.report.forest import forest
from harness.report.gained_lost import change_bars, gap_table
from harness.report.markup import Child, Markup, join, tag
from harness.report.method_text import method, scope
from harness.report.published_table import published_section
from harness.report.rows import likelihood_rows, score_rows

SCORES_LEDE = (
    "Under each score: fused minus that model on the same items, and its {level} interval. ▲ fused is "
    "better, ▼ worse, after correction for many comparisons; △ ▽ only before it; no mark: no clear change. "
    "≥: the smallest true difference that so many items show in four of five cases."
)
LIKELIHOOD_LEDE = (
    "Bits per byte of the right answer's text; lower is better, so a negative difference is good. It does "
    "not depend on how a model cuts text into tokens, and sees more than right or wrong does."
)
FOREST_LEDE = (
    "Coloured and filled: sure after correction for all that is compared. A line across the middle leaves "
    "open which model is better. Shows from: the smallest true difference, in points, that so many items "
    "show in four of five cases."
)
CHANGES_LEDE = (
    "Against the target before training, item by item: lost to the left, gained to the right (it was wrong "
    "and is right, or scores higher). Filled: a source had it, so a gain may come from there, and a loss is "
    "interference. Grey: the same training without sources, whose gains no source taught."
)
GAP_LEDE = (
    "Oracle: an item counts as right if the target before training or any source has it; in percent. Gap "
    "closed: the share of the way from before to the oracle, with its interval. From a source: items gained "
    "that it had; several sources may have one."
)
PUBLISHED_LEDE = (
    "Not paired: other items, other software and another machine, so no intervals and no tests. Percent."
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
    # the headline's first sentence is the answer; the verdict's clauses are separated by semicolons
    clauses = [_sentence(clause) for clause in verdict.sentence.split("; ")]
    first, _, meaning = (verdict.headline or clauses[0]).partition(". ")
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
                tag("p", _sentence(first), class_="first"),
                [tag("p", clause) for clause in (meaning, *clauses) if clause not in ("", first)],
                tag("p", scope(record), class_="scope"),
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
            _section("Differences with their intervals", FOREST_LEDE, forest(comparison)),
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


def _changes(record: RunRecord, run_dir: Path) -> Markup:
    sources = [m.name for m in record.models if m.role is Role.SOURCE]
    return join(
        [
            _section("Items gained and lost", CHANGES_LEDE, change_bars(record.comparison)),
            _section("How far the sources could lead", GAP_LEDE, gap_table(record.comparison, sources)),
            _section(
                "Examples",
                "First those where training without sources did not do the same.",
                _examples(record, run_dir),
            ),
        ]
    )


def _examples(record: RunRecord, run_dir: Path) -> list[Markup]:
    found = examples.read_examples(record, run_dir)
    return [
        join([tag("h3", capability), [examples.example_block(e) for e in each]])
        for capability, each in found.items()
    ]


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
                [
                    part
                    for part in (background.transfer_table(record), background.taught_table(record))
                    if part
                ],
            ),
            _section("Cost", "", [background.cost_table(record), background.gain_table(record) or ""]),
            _section("Stages", "", background.stage_table(record)),
            _section("Notes", "", notes),
            _section("How to repeat it", "", background.reproducibility(record)),
            _section("How the numbers are made", "", [tag("p", text) for text in method(record)]),
        ]
    )


def _section(title: str, lede: str, content: Child) -> Markup:
    """A headed part of the page; nothing where there is no content."""
    if not content:
        return Markup("")
    return join([tag("h2", title), tag("p", lede, class_="lede") if lede else None, content])
