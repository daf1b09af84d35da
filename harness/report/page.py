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
    "Under each score: fused minus that model on the same items, with its {level} confidence interval. ▲ "
    "fused is significantly better, ▼ significantly worse, after correction for multiple comparisons; △ ▽ "
    "significant only before the correction; no mark: no significant difference. MDE: minimum detectable "
    "effect, the smallest true difference that so many items detect with 80 % power before the correction."
)
LIKELIHOOD_LEDE = (
    "Bits per byte of the right answer's text: lower is better, so a negative difference is an improvement. "
    "The measure does not depend on the tokenizer, and it also shows changes too small to turn a wrong "
    "answer into a right one."
)
FOREST_LEDE = (
    "Filled, coloured points: significant after correction for multiple comparisons. Where an interval "
    "crosses the middle line, either model may be the better one. MDE: minimum detectable effect, the "
    "smallest true difference in points that so many items detect with 80 % power before the correction."
)
CHANGES_LEDE = (
    "Each item is compared with the target before training: lost items to the left, gained items (wrong "
    "before and right now, or a higher score) to the right. Filled: items known to a source, which scores "
    "higher on them than the target before training (gained items) or than the trained model (lost items). "
    "Such a gain may come from that source; such a loss is interference. Grey: the control, the same "
    "training without sources, whose gains cannot come from a source."
)
GAP_LEDE = (
    "Oracle: the score in percent if every item got the best answer of the target before training and all "
    "sources. Gap closed: the share of the distance from the score before training to the oracle, with its "
    "confidence interval. Known to a source: gained items that this source answers better than the target "
    "before training; several sources may know the same item."
)
PUBLISHED_LEDE = (
    "In percent. Not paired: the published scores come from other items, other software and another "
    "machine, so there are no intervals and no tests."
)
OUTCOMES = {
    "gain": "▲ Gain",
    "loss": "▼ Loss",
    "mixed": "▲▼ Mixed",
    "no change": "No clear difference",
    "none": "No verdict",
}


def page(record: RunRecord, run_dir: Path) -> str:
    """The whole document. Reads the items in `run_dir`."""
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
    # the first sentence of the headline is the answer; semicolons separate the clauses of the verdict
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
    return f"Total computing time: {duration(sum(s.seconds for s in record.stages))}."


def _results(record: RunRecord) -> Markup:
    comparison = record.comparison
    level = f"{100 * comparison.confidence:g} %"
    return join(
        [
            _section(
                "Scores by capability",
                "A capability's score is the mean over its benchmarks, with equal weights.",
                tables.capability_picture(comparison),
            ),
            _section("Differences with confidence intervals", FOREST_LEDE, forest(comparison)),
            _section(
                "Benchmarks",
                f"Scores in percent. {SCORES_LEDE.format(level=level)}",
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
            _section("Gap to the oracle", GAP_LEDE, gap_table(record.comparison, sources)),
            _section(
                "Examples",
                "Items on which fused and the control have different scores come first.",
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
                "How much of each source's next-token distributions remains after alignment and vocabulary "
                "map, by corpus part, and at how many positions the fusion function gave that source the "
                "largest weight. Where a tokenizer changes the text (lower case, Unicode normalization), its "
                "windows are aligned by character offsets.",
                [
                    part
                    for part in (background.transfer_table(record), background.taught_table(record))
                    if part
                ],
            ),
            _section("Cost", "", [background.cost_table(record), background.gain_table(record) or ""]),
            _section("Stages", "", background.stage_table(record)),
            _section("Notes", "", notes),
            _section("How to reproduce this run", "", background.reproducibility(record)),
            _section("How the numbers are computed", "", [tag("p", text) for text in method(record)]),
        ]
    )


def _section(title: str, lede: str, content: Child) -> Markup:
    """A headed part of the page; nothing where there is no content."""
    if not content:
        return Markup("")
    return join([tag("h2", title), tag("p", lede, class_="lede") if lede else None, content])
