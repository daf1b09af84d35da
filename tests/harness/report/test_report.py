"""The report: whole without a network, escaped, equal for equal runs, and its numbers are the record's."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from harness.comparison.compare import compare
from harness.core.exceptions import InputError
from harness.core.formats import interval, number
from harness.core.record import Role, RunRecord
from harness.core.run_files import items_path, read_items, write_items
from harness.report import write_report
from harness.report.charts import change_track, curve_panel, difference_track, reach_of, score_track, ticks
from harness.report.markup import Markup, tag
from harness.report.page import page
from harness.report.provenance import transfer_table
from harness.suite.spec import ComparisonSpec
from tests.harness.sample_run import sample_run


class Outline(HTMLParser):
    """Checks that every tag is closed in order, and collects the text outside style."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.attributes += attributes
        if name != "meta":
            self.open.append(name)

    def handle_startendtag(self, _name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.attributes += attributes

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)


def outline(html: str) -> Outline:
    parsed = Outline()
    parsed.feed(html)
    parsed.close()
    assert parsed.open == []
    return parsed


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunRecord, Path]:
    folder = tmp_path_factory.mktemp("run")
    return sample_run(folder), folder


def test_what_reached_the_target_is_shown_by_part(run: tuple[RunRecord, Path]) -> None:
    coverage = {
        "logic-llama": {"positions": 88.6, "agreement": 71.25, "next_token": 41.5, "positions.code": 80.0}
    }
    text = str(transfer_table(run[0].model_copy(update={"coverage": coverage})))
    for heading in ("positions kept", "next token agrees", "mass on the ground-truth token"):
        assert heading in text
    assert "positions.code" not in text
    whole, _, part = text.partition(">code<")
    assert "88.6" in whole and "41.5" in whole  # all: positions kept and taught
    assert "80.0" in part.partition("</tr>")[0] and "20.5" in part.partition("</tr>")[0]


def test_what_attribution_counts_is_named_by_the_fusion_function(run: tuple[RunRecord, Path]) -> None:
    suite = run[0].suite
    averaged = {**suite, "fusion": {**suite["fusion"], "function": "avgce"}}
    assert "positions taught" in str(transfer_table(run[0]))
    assert "positions where its weight is largest" in str(
        transfer_table(run[0].model_copy(update={"suite": averaged}))
    )


def test_a_record_from_before_attribution_by_part_still_loads(run: tuple[RunRecord, Path]) -> None:
    older = run[0].model_dump(mode="json", exclude={"attribution_by_part"})
    record = RunRecord.model_validate(older)
    assert record.attribution_by_part == {}
    assert "41.5" in str(transfer_table(record))


# what run.json did not have before, part by part of the record
NEWER = {"seeds", "repeats", "gains"}
NEWER_IN_COMPARISON = {"overall", "correction", "trainings", "changes"}
NEWER_IN_DIFFERENCE = {"smallest", "between"}
NEWER_IN_STAGE = {"tokens", "flops", "memory_bytes"}


def as_before(record: RunRecord) -> dict[str, Any]:
    """The record as a file from before these fields."""
    older = record.model_dump(mode="json", exclude=NEWER)
    comparison = {k: v for k, v in older["comparison"].items() if k not in NEWER_IN_COMPARISON}
    comparison["verdict"].pop("headline")
    for row in comparison["rows"]:
        for difference in row["differences"]:
            for key in NEWER_IN_DIFFERENCE:
                difference.pop(key)
    for stage in older["stages"]:
        for key in NEWER_IN_STAGE:
            stage.pop(key)
    return older | {"comparison": comparison}


def test_a_run_from_before_the_newer_fields_still_has_a_report(
    run: tuple[RunRecord, Path], tmp_path: Path
) -> None:
    record = RunRecord.model_validate(as_before(run[0]))
    text = write_report(record, tmp_path).html.read_text()
    assert record.comparison.verdict.sentence.split("; ")[0] in "".join(outline(text).texts)
    assert "Items gained and lost" not in text


def test_a_run_without_a_verdict_says_so(run: tuple[RunRecord, Path]) -> None:
    comparison = compare({}, [], [], ComparisonSpec())
    assert "No verdict" in page(run[0].model_copy(update={"comparison": comparison}), run[1])


@pytest.fixture(scope="module")
def html(run: tuple[RunRecord, Path]) -> str:
    return write_report(*run).html.read_text(encoding="utf-8")


class TestHtml:
    def test_is_well_formed(self, html: str) -> None:
        outline(html)

    def test_needs_no_network(self, html: str) -> None:
        names = {name for name, _ in outline(html).attributes}
        assert names.isdisjoint({"src", "href", "srcset", "data", "action"})
        assert "url(" not in html
        assert "@import" not in html
        assert "<script" not in html

    def test_the_verdict_comes_first(self, html: str, run: tuple[RunRecord, Path]) -> None:
        text = "".join(outline(html).texts)
        first = run[0].comparison.verdict.headline.partition(". ")[0]
        assert 0 <= text.index(first) < text.index("Scores by capability") < text.index("Benchmarks")

    def test_the_first_line_is_the_answer_with_its_certainty(self, html: str) -> None:
        first = re.findall(r'<p class="first">([^<]*)</p>', html)
        assert first == [
            "Fusion helped on reasoning and commonsense and made no clear difference on code; "
            "certainty: very high."
        ]

    def test_one_training_is_said_to_be_one(self, html: str) -> None:
        assert "One training (seed 0): intervals and p-values account for the choice of items" in html

    def test_the_forest_has_every_headline_difference_and_the_overall_one(
        self, html: str, run: tuple[RunRecord, Path]
    ) -> None:
        plots = re.split(r'<div class="forest">', html)[1:]
        assert len(plots) == 2  # against the control, against the target before
        overall = run[0].comparison.overall
        assert overall is not None
        rows = [r for r in run[0].comparison.rows if r.headline and r.benchmark != "average"]
        for plot, role in zip(plots, (Role.CONTROL, Role.TARGET), strict=True):
            for row in (*rows, overall):
                (d,) = (d for d in row.differences if d.role is role)
                assert f"{interval(d.low, d.high)}</span>" in plot
                assert d.smallest is not None
                assert f"MDE {number(d.smallest)}" in plot

    def test_what_was_gained_is_told_in_words_beside_the_bars(
        self, html: str, run: tuple[RunRecord, Path]
    ) -> None:
        change = next(c for c in run[0].comparison.changes if c.role is Role.FUSED)
        assert f"{change.gained} gained, {change.transferred} of them known to a source" in html
        assert change.gap_closed is not None
        assert f"{number(change.gap_closed)} % (" in html

    def test_costs_are_told_by_stage_and_for_the_gain(self, html: str) -> None:
        text = "".join(outline(html).texts)
        assert "1.8M" in text  # tokens of a training
        assert "11.3 TFLOP" in text  # 6 x 1,048,576 parameters x 1.8 million tokens
        assert "77.0k tokens read, about 161.5 GFLOP" in text  # by the source: 2 x 1,048,576 x 77,000
        assert "550.0 MB" in text  # the last stage's peak
        assert "per million training tokens" in text

    def test_every_score_and_difference_is_there(self, html: str, run: tuple[RunRecord, Path]) -> None:
        texts = set(outline(html).texts)
        for row in run[0].comparison.rows:
            assert all(number(cell.value, row.unit) in texts for cell in row.cells)
            for d in row.differences:
                bounds = (number(abs(d.low), row.unit), number(abs(d.high), row.unit))
                assert any(all(b in t for b in bounds) and " to " in t for t in texts)

    def test_texts_of_models_and_tasks_are_escaped(self, html: str) -> None:
        assert "<b>bloops</b>" not in html
        assert "&lt;b&gt;bloops&lt;/b&gt; are not razzies &amp; never were." in html
        assert "sum(x &lt; n for x in xs)" in html

    def test_light_dark_paper_and_phone(self, html: str) -> None:
        assert "@media (prefers-color-scheme: dark)" in html
        assert "@media print" in html
        assert "@media screen and (max-width" in html
        assert 'name="viewport"' in html

    def test_significance_is_not_told_by_colour_alone(self, html: str) -> None:
        coloured = re.findall(r'<span class="(gain|loss)">([^<]*)</span>', html)
        assert {kind for kind, _ in coloured} == {"gain", "loss"}
        assert all(("▲" if kind == "gain" else "▼") in text for kind, text in coloured)

    def test_says_how_to_repeat_it(self, html: str, run: tuple[RunRecord, Path]) -> None:
        text = "".join(outline(html).texts)
        assert "fusegauge run-suite suites/sample.yaml --set training.max_steps=400" in text
        for model in run[0].models:
            assert model.fingerprint[:16] in text
        assert "torch 2.13.0" in text
        assert run[0].notes[0] in text

    def test_every_answer_of_an_example_is_shown(self, html: str, run: tuple[RunRecord, Path]) -> None:
        example = html[html.index('class="example"') :]
        example = example[: example.index("</table>")]
        assert all(f">{model.name}</th>" in example for model in run[0].models)
        assert "✓ right" in example
        assert "✗ wrong" in example


class TestWriting:
    def test_equal_runs_give_equal_bytes(self, run: tuple[RunRecord, Path], tmp_path: Path) -> None:
        again = write_report(sample_run(tmp_path), tmp_path)
        before = write_report(*run)
        assert again.html.read_bytes() == before.html.read_bytes()
        assert again.markdown.read_bytes() == before.markdown.read_bytes()

    def test_without_items_there_are_no_examples_but_a_report(
        self, run: tuple[RunRecord, Path], tmp_path: Path
    ) -> None:
        text = write_report(run[0], tmp_path).html.read_text()
        outline(text)
        assert ">Examples</h2>" not in text
        assert "Items gained and lost" in text  # counted when the run was compared
        assert run[0].benchmarks[0].name in text

    def test_other_items_of_one_model_are_refused(self, tmp_path: Path) -> None:
        record = sample_run(tmp_path)
        path = items_path(tmp_path, "capitals", "clm")
        write_items(path, read_items(path)[1:])
        with pytest.raises(InputError, match="capitals: tiny-llama and clm were scored on different items"):
            write_report(record, tmp_path)

    def test_with_nothing_scored(self, run: tuple[RunRecord, Path], tmp_path: Path) -> None:
        bare = run[0].model_copy(
            update={
                "comparison": compare({}, [], [], ComparisonSpec()),
                "benchmarks": (),
                "training": (),
                "stages": (),
                "coverage": {},
                "attribution": {},
            }
        )
        text = write_report(bare, tmp_path).html.read_text()
        outline(text)
        assert "Nothing was scored." in text

    def test_without_a_fused_model(self, run: tuple[RunRecord, Path], tmp_path: Path) -> None:
        record, _ = run
        rows = tuple(
            r.model_copy(
                update={"differences": (), "cells": tuple(c for c in r.cells if c.role is not Role.FUSED)}
            )
            for r in record.comparison.rows
        )
        models = tuple(m for m in record.models if m.role is not Role.FUSED)
        left = {"rows": rows, "overall": None, "changes": ()}
        comparison = record.comparison.model_copy(update=left)
        text = write_report(
            record.model_copy(update={"comparison": comparison, "models": models}), tmp_path
        ).html.read_text()
        outline(text)
        assert "fused minus this model" not in text
        assert "Differences with confidence intervals" not in text
        assert "Items gained and lost" not in text

    def test_a_long_prompt_shows_its_end(self) -> None:
        from harness.report.examples import _beginning, _ending

        assert _ending("few-shot " * 200 + "the question?").endswith("the question?")
        assert len(_ending("x" * 5000)) < 800
        assert _beginning("answer" + "." * 5000).startswith("answer")
        assert len(_beginning("x" * 5000)) < 500

    def test_published_numbers_stand_beside_the_run(
        self, run: tuple[RunRecord, Path], tmp_path: Path
    ) -> None:
        record, _ = run
        suite = record.suite | {"comparison": record.suite["comparison"] | {"published": "fusellm-7b"}}
        rows = tuple(
            r.model_copy(update={"benchmark": "arc_easy"}) if r.benchmark == "capitals" else r
            for r in record.comparison.rows
        )
        comparison = record.comparison.model_copy(update={"rows": rows})
        shown = record.model_copy(update={"suite": suite, "comparison": comparison})
        text = write_report(shown, tmp_path).html.read_text()
        assert "Beside published numbers" in text
        assert "Not paired" in text
        assert "75.0" in text  # FuseLLM-7B on arc_easy: 75.04

    def test_unknown_published_numbers_do_not_stop_the_report(
        self, run: tuple[RunRecord, Path], tmp_path: Path
    ) -> None:
        record, _ = run
        suite = record.suite | {"comparison": {"published": "nothing-like-it"}}
        text = write_report(record.model_copy(update={"suite": suite}), tmp_path).html.read_text()
        assert "Published numbers cannot be shown" in text


class TestJson:
    def test_it_is_the_records_own_numbers_without_what_the_page_does_not_show(
        self, run: tuple[RunRecord, Path]
    ) -> None:
        shown = json.loads(write_report(*run).json.read_text())
        whole = json.loads(run[0].model_dump_json())
        assert shown["comparison"] == whole["comparison"]
        assert shown.items() <= whole.items()
        assert "suite" not in shown


class TestSeveralTrainings:
    def test_the_opening_and_the_method_say_so(self, run: tuple[RunRecord, Path]) -> None:
        several = run[0].comparison.model_copy(update={"trainings": 3})
        text = page(run[0].model_copy(update={"comparison": several, "seeds": (0, 1, 2)}), run[1])
        assert (
            "Means over 3 trainings (seeds 0, 1 and 2): intervals and p-values account for the variance"
            in text
        )
        assert "Cochran and Cox" in text
        assert "One training" not in text


class TestMarkdown:
    def test_verdict_scores_and_differences(self, run: tuple[RunRecord, Path]) -> None:
        text = write_report(*run).markdown.read_text(encoding="utf-8")
        assert run[0].comparison.verdict.sentence in text
        row = next(r for r in run[0].comparison.rows if r.headline)
        for cell in row.cells:
            assert f" {number(cell.value)} |" in text
        assert " ▲ (" in text
        assert "; MDE " in text
        assert run[0].comparison.verdict.headline in text
        assert "| overall | average |" in text
        assert "fusegauge run-suite" in text

    def test_tables_have_equal_columns(self, run: tuple[RunRecord, Path]) -> None:
        text = write_report(*run).markdown.read_text(encoding="utf-8")
        for block in text.split("\n\n"):
            if block.startswith("|"):
                assert len({line.count("|") for line in block.splitlines()}) == 1

    def test_what_the_sources_taught_is_a_table(self, run: tuple[RunRecord, Path]) -> None:
        text = write_report(*run).markdown.read_text(encoding="utf-8")
        table = text.partition("## What the sources taught\n\n")[2].partition("\n\n")[0].splitlines()
        assert table[0] == "| source | corpus | positions kept | mass kept | positions taught |"
        assert table[2:5] == [
            "| logic-llama | all | 88.6 % | 93.1 % | 41.5 % |",
            "|  | code | – | – | 20.5 % |",
            "|  | text | – | – | 46.0 % |",
        ]
        assert all(line.count("|") == 6 for line in table)


class TestMarkup:
    def test_text_and_attributes_are_escaped(self) -> None:
        assert tag("p", "<a> & b", class_='x"y') == '<p class="x&quot;y">&lt;a&gt; &amp; b</p>'

    def test_markup_nested_in_lists_is_not_escaped_twice(self) -> None:
        assert tag("p", [tag("b", "&"), None, "<"]) == "<p><b>&amp;</b>&lt;</p>"

    def test_absent_and_standing_attributes(self) -> None:
        assert tag("td", 3, class_=None, open=True, data_label="m") == '<td open data-label="m">3</td>'

    def test_void_elements(self) -> None:
        assert tag("meta", name="viewport") == '<meta name="viewport"/>'


class TestPictures:
    @pytest.mark.parametrize(
        "low, high, expected",
        [
            (0.0, 100.0, [0, 25, 50, 75, 100]),
            (1.2, 3.1, [1, 1.5, 2, 2.5, 3, 3.5]),
            (2.0, 2.0, [1.5, 1.75, 2, 2.25, 2.5]),
        ],
    )
    def test_ticks_are_round_and_cover_the_data(self, low: float, high: float, expected: list[float]) -> None:
        assert ticks(low, high) == pytest.approx(expected)

    def test_reach_covers_the_longest_interval(self) -> None:
        assert reach_of([-3.0, 58.3]) == 60
        assert reach_of([]) == 1

    def test_a_score_lies_at_its_percentage(self) -> None:
        assert 'cx="33.33%"' in score_track(33.333, fused=False, label="m")

    def test_an_interval_lies_symmetric_about_the_middle(self) -> None:
        track = difference_track(0.0, -10.0, 10.0, 20.0, kind="open", label="")
        assert 'x1="25.00%"' in track
        assert 'x2="75.00%"' in track
        assert 'cx="50.00%"' in track

    def test_gained_lies_right_of_the_middle_and_lost_left(self) -> None:
        track = change_track(40.0, 30.0, 20.0, 10.0, fused=True, label="")
        assert 'class="bar-gain hollow" x="50.00%" width="20.00%"' in track
        assert 'class="bar-gain" x="50.00%" width="15.00%"' in track
        assert 'class="bar-loss hollow" x="40.00%" width="10.00%"' in track
        assert 'class="bar-loss" x="45.00%" width="5.00%"' in track

    def test_labels_are_escaped(self) -> None:
        assert "<m>" not in score_track(1.0, fused=True, label="<m>")

    def test_curves_span_the_panel(self) -> None:
        panel = curve_panel("loss", [("fused", "fused", [(0, 1.0), (100, 0.0)])])
        assert isinstance(panel, Markup)
        assert 'points="0.0,0.0 1000.0,1000.0"' in panel
