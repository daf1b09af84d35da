"""The comparison: right numbers in the right unit, pairs by item, refusal of what cannot be paired."""

from collections.abc import Sequence
from typing import Literal

import pytest

from harness.comparison.compare import compare, higher_is_better
from harness.comparison.outcomes import BITS_PER_BYTE, SCORE
from harness.core.exceptions import InputError
from harness.core.record import AVERAGE, BenchmarkEntry, Comparison, Item, Role, Row
from harness.suite.spec import ComparisonSpec

MODELS = [("target", Role.TARGET), ("teacher", Role.SOURCE), ("clm", Role.CONTROL), ("fused", Role.FUSED)]
SPEC = ComparisonSpec(resamples=500)


def entry(name: str, capability: str = "facts", metrics: tuple[str, ...] = ("acc",)) -> BenchmarkEntry:
    return BenchmarkEntry(
        name=name,
        capability=capability,
        tasks=(name,),
        num_fewshot=0,
        limit=None,
        metrics=metrics,
        fingerprint="f",
        items=0,
    )


def items(outcomes: Sequence[float], bits: Sequence[float | None] = (), metric: str = "acc") -> list[Item]:
    """One item per outcome, with bits per byte where given."""
    return [
        Item(
            item=f"{i:03d}",
            task="t",
            scores={metric: outcome},
            prediction="",
            gold="",
            prompt="",
            bits_per_byte=bits[i] if i < len(bits) else None,
        )
        for i, outcome in enumerate(outcomes)
    ]


def row(comparison: Comparison, benchmark: str, metric: str = "acc") -> Row:
    return next(r for r in comparison.rows if (r.benchmark, r.metric) == (benchmark, metric))


def two(fused: list[Item], control: list[Item], **more: list[Item]) -> dict[str, list[Item]]:
    return {"fused": fused, "clm": control, **more}


PAIR = [("clm", Role.CONTROL), ("fused", Role.FUSED)]


def test_right_and_wrong_in_percent_with_mcnemar() -> None:
    # 8 items only fused has right, 2 only the control; both right on 5, both wrong on 5
    fused = items([1] * 8 + [0] * 2 + [1] * 5 + [0] * 5)
    control = items([0] * 8 + [1] * 2 + [1] * 5 + [0] * 5)
    shown = row(compare({"b": two(fused, control)}, PAIR, [entry("b")], SPEC), "b")
    assert (shown.unit, shown.higher_is_better, shown.headline) == ("%", True, True)
    assert {c.model: (c.value, c.n) for c in shown.cells} == {"fused": (65.0, 20), "clm": (35.0, 20)}
    (difference,) = shown.differences
    assert difference.difference == pytest.approx(30.0)
    assert (difference.better, difference.worse, difference.n) == (8, 2, 20)
    assert difference.p_value == pytest.approx(0.109375)  # see test_statistics
    assert difference.low < 30.0 < difference.high


def test_only_the_metrics_that_the_suite_names_become_rows() -> None:
    """Items carry the scores under every filter; one of these is a row where the suite names it so."""
    answers = [
        i.model_copy(update={"scores": {"exact_match": 0.0, "exact_match,whole": 1.0}}) for i in items([0, 1])
    ]
    for metrics in (("exact_match",), ("exact_match,whole", "exact_match")):
        comparison = compare({"b": two(answers, answers)}, PAIR, [entry("b", metrics=metrics)], SPEC)
        assert tuple(r.metric for r in comparison.rows if r.benchmark == "b") == metrics
    assert row(comparison, "b", "exact_match,whole").cells[0].value == 100.0


@pytest.mark.parametrize(("metric", "expected"), [("perplexity,whole", False), ("exact_match,whole", True)])
def test_a_metric_has_the_same_direction_under_every_filter(metric: str, expected: bool) -> None:
    assert higher_is_better(metric) is expected


def test_items_are_paired_by_hash_not_by_position() -> None:
    # the same answers in another order: paired by position, three would be gained and three lost
    fused = items([1, 1, 1, 0, 0, 0])
    shown = row(compare({"b": two(fused[::-1], fused)}, PAIR, [entry("b")], SPEC), "b")
    assert (shown.differences[0].better, shown.differences[0].worse) == (0, 0)


def test_a_document_that_occurs_twice_is_paired_with_itself() -> None:
    twice = [i.model_copy(update={"item": "same"}) for i in items([1, 0])]
    shown = row(compare({"b": two(twice, twice)}, PAIR, [entry("b")], SPEC), "b")
    assert (shown.differences[0].better, shown.differences[0].worse, shown.cells[0].n) == (0, 0, 2)


def test_every_model_is_compared_and_the_fused_one_is_not_with_itself() -> None:
    by_model = {name: items([1, 0]) for name, _ in MODELS}
    shown = row(compare({"b": by_model}, MODELS, [entry("b")], SPEC), "b")
    assert [c.model for c in shown.cells] == [name for name, _ in MODELS]
    assert [(d.opponent, d.role) for d in shown.differences] == MODELS[:-1]


def test_without_a_fused_model_there_are_scores_but_no_differences() -> None:
    comparison = compare({"b": {"clm": items([1, 0])}}, [("clm", Role.CONTROL)], [entry("b")], SPEC)
    assert row(comparison, "b").cells[0].value == 50.0
    assert all(r.differences == () for r in comparison.rows)


class TestBitsPerByte:
    def test_lower_is_better(self) -> None:
        fused, control = items([1, 1, 1], [0.5, 0.5, 0.9]), items([1, 1, 1], [1.0, 1.0, 0.8])
        shown = row(compare({"b": two(fused, control)}, PAIR, [entry("b")], SPEC), "b", BITS_PER_BYTE)
        assert (shown.unit, shown.higher_is_better, shown.headline) == ("bits/byte", False, False)
        (difference,) = shown.differences
        assert difference.difference == pytest.approx((1.9 - 2.8) / 3)
        assert (difference.better, difference.worse) == (2, 1)

    def test_only_items_where_every_model_has_it(self) -> None:
        fused, control = items([1, 1, 1], [0.5, None, 0.7]), items([1, 1, 1], [0.6, 0.1, float("nan")])
        shown = row(compare({"b": two(fused, control)}, PAIR, [entry("b")], SPEC), "b", BITS_PER_BYTE)
        assert [(c.value, c.n) for c in shown.cells] == [(0.6, 1), (0.5, 1)]

    def test_it_is_all_that_is_left_where_code_was_not_run(self) -> None:
        def unscored(bits: float) -> list[Item]:
            return [i.model_copy(update={"scores": {}}) for i in items([0, 0], [bits, bits])]

        comparison = compare({"b": two(unscored(1.0), unscored(2.0))}, PAIR, [entry("b")], SPEC)
        assert [(r.benchmark, r.metric) for r in comparison.rows] == [
            ("b", BITS_PER_BYTE),
            (AVERAGE, BITS_PER_BYTE),
        ]
        assert comparison.verdict.outcome == "none"
        assert comparison.verdict.sentence == "No verdict: no scores for facts."


class TestUnits:
    def test_a_metric_above_one_keeps_its_own_unit_and_direction(self) -> None:
        fused, control = items([7.0, 9.0], metric="perplexity"), items([8.0, 8.0], metric="perplexity")
        entries = [entry("b", metrics=("perplexity",))]
        comparison = compare({"b": two(fused, control)}, PAIR, entries, SPEC)
        shown = row(comparison, "b", "perplexity")
        assert (shown.unit, shown.higher_is_better) == ("score", False)
        assert shown.cells[1].value == 8.0
        assert (shown.differences[0].better, shown.differences[0].worse) == (1, 1)
        assert not any(r.benchmark == AVERAGE for r in comparison.rows)

    def test_fractions_are_percent_and_tested_by_sign_flips(self) -> None:
        fused, control = items([0.5, 0.75, 0.25]), items([0.25, 0.5, 0.0])
        shown = row(compare({"b": two(fused, control)}, PAIR, [entry("b")], SPEC), "b")
        assert shown.cells[1].value == pytest.approx(50.0)
        assert shown.differences[0].p_value == pytest.approx(2 / 8)  # three equal gains, 2^3 flips


class TestAverages:
    def test_benchmarks_count_the_same_whatever_their_size(self) -> None:
        scored = {
            "big": two(items([0] * 30), items([0] * 30)),
            "small": two(items([1] * 10), items([0] * 10)),
        }
        comparison = compare(scored, PAIR, [entry("big"), entry("small")], SPEC)
        average = row(comparison, AVERAGE, SCORE)
        assert [(c.value, c.n) for c in average.cells] == [(0.0, 40), (50.0, 40)]
        (difference,) = average.differences
        assert (difference.difference, difference.low, difference.high) == (50.0, 50.0, 50.0)

    def test_of_one_benchmark_it_repeats_that_benchmark(self) -> None:
        # graded scores: their intervals would show it if the two rows drew differently
        scored = {"b": two(items([i / 40 for i in range(40)]), items([i * i / 1600 for i in range(40)]))}
        comparison = compare(scored, PAIR, [entry("b")], SPEC)
        assert row(comparison, AVERAGE, SCORE).differences == row(comparison, "b").differences

    def test_they_use_headline_metrics_only(self) -> None:
        both = [i.model_copy(update={"scores": {"acc_norm": 1.0, "acc": 0.0}}) for i in items([0, 0])]
        comparison = compare({"b": two(both, both)}, PAIR, [entry("b", metrics=("acc_norm", "acc"))], SPEC)
        assert row(comparison, AVERAGE, SCORE).cells[0].value == 100.0
        assert not row(comparison, "b", "acc").headline


def test_another_benchmark_moves_no_interval() -> None:
    scored = {"b": two(items([1, 1, 1, 0, 1] * 5), items([0, 1, 0, 1, 0] * 5))}
    alone = compare(scored, PAIR, [entry("b")], SPEC)
    more = compare(scored | {"c": scored["b"]}, PAIR, [entry("c", "logic"), entry("b")], SPEC)
    ours, theirs = (row(c, "b").differences[0] for c in (alone, more))
    assert (ours.low, ours.high, ours.p_value) == (theirs.low, theirs.high, theirs.p_value)


def test_p_values_are_corrected_over_the_rows_of_one_kind() -> None:
    strong, none = two(items([1] * 10), items([0] * 10)), two(items([1, 0]), items([1, 0]))
    entries = [entry("strong", "a"), entry("none", "b")]
    comparison = compare({"strong": strong, "none": none}, PAIR, entries, SPEC)
    (difference,) = row(comparison, "strong").differences
    assert difference.p_value == pytest.approx(2 / 1024)
    assert difference.p_adjusted == pytest.approx(2 * 2 / 1024)  # Holm: two headline rows


class TestFamilies:
    """Correction over benchmarks and opponents together, by the suite's choice."""

    @staticmethod
    def compared(correction: Literal["holm", "bh"]) -> Comparison:
        # against clm 10:0 on both benchmarks, against the target 6:0: p = 2/1024 twice, 2/64 twice
        scored = {
            name: {"fused": items([1] * 10), "clm": items([0] * 10), "target": items([0] * 6 + [1] * 4)}
            for name in "ab"
        }
        models = [("target", Role.TARGET), *PAIR]
        return compare(scored, models, [entry("a"), entry("b")], ComparisonSpec(correction=correction))

    def adjusted(self, correction: Literal["holm", "bh"]) -> dict[str, float]:
        return {d.opponent: d.p_adjusted for d in row(self.compared(correction), "a").differences}

    def test_holm(self) -> None:
        assert self.adjusted("holm") == pytest.approx({"clm": 4 * 2 / 1024, "target": 2 * 2 / 64})

    def test_benjamini_hochberg(self) -> None:
        # sorted p_(2) = 2/1024: x 4/2; p_(4) = 2/64: x 4/4
        assert self.adjusted("bh") == pytest.approx({"clm": 2 * 2 / 1024, "target": 2 / 64})

    def test_the_comparison_says_which(self) -> None:
        assert self.compared("bh").correction == "bh"
        assert "called significant in this way, at most 5.0 %" in self.compared("bh").verdict.headline


class TestOverall:
    def test_every_capability_counts_the_same(self) -> None:
        # facts: benchmarks at 100 and 0, mean 50; code: 100. Overall 75, though 3 of 4 items are facts'
        scored = {name: two(items([v]), items([0])) for name, v in (("a", 1), ("b", 0), ("c", 1))}
        comparison = compare(scored, PAIR, [entry("a"), entry("b"), entry("c", "code")], SPEC)
        assert comparison.overall is not None
        assert {c.model: c.value for c in comparison.overall.cells} == {"fused": 75.0, "clm": 0.0}
        assert comparison.overall.differences[0].difference == pytest.approx(75.0)

    def test_it_has_its_own_interval_and_test(self) -> None:
        # both capabilities as in the first test here: 8 better, 2 worse of 20, twice
        pair = two(items([1] * 8 + [0] * 2 + [1] * 10), items([0] * 8 + [1] * 2 + [1] * 10))
        comparison = compare({"a": pair, "c": pair}, PAIR, [entry("a"), entry("c", "code")], SPEC)
        assert comparison.overall is not None
        (difference,) = comparison.overall.differences
        # equal sizes weigh the same: exact McNemar of 16 and 4
        assert difference.p_value == difference.p_adjusted == pytest.approx(0.0118, abs=1e-4)
        assert difference.low < 30.0 < difference.high

    def test_of_one_capability_there_is_none(self) -> None:
        pair = two(items([1, 0]), items([0, 0]))
        assert compare({"a": pair}, PAIR, [entry("a")], SPEC).overall is None

    def test_it_is_no_capability(self) -> None:
        pair = two(items([1, 0]), items([0, 0]))
        comparison = compare({"a": pair, "c": pair}, PAIR, [entry("a"), entry("c", "code")], SPEC)
        assert {r.capability for r in comparison.rows} == {"facts", "code"}


class TestPassages:
    """Ten questions to each of six passages, all of a passage answered alike."""

    @staticmethod
    def compared(clusters: bool) -> Comparison:
        def answers(right: float) -> list[Item]:
            return [
                i.model_copy(update={"cluster": f"p{n // 10}" if clusters else None})
                for n, i in enumerate(items([right] * 60))
            ]

        return compare({"b": two(answers(1), answers(0))}, PAIR, [entry("b")], SPEC)

    def test_six_passages_are_six_flips(self) -> None:
        shown = row(self.compared(clusters=True), "b").differences[0]
        assert shown.p_value == pytest.approx(2 / 2**6)
        assert (shown.better, shown.n) == (60, 60)  # counted are items

    def test_without_them_they_are_sixty_items(self) -> None:
        assert row(self.compared(clusters=False), "b").differences[0].p_value == pytest.approx(2 / 2**60)


class TestTrainings:
    """Fused trained twice, the control once with each of the same seeds."""

    TRAININGS = {"fused": ("fused", "fused@1"), "clm": ("clm", "clm@1")}
    SCORED = {
        "fused": items([1] * 20),
        "fused@1": items([1] * 10 + [0] * 10),
        "clm": items([0] * 20),
        "clm@1": items([0] * 18 + [1] * 2),
        "target": items([0] * 20),
    }
    MODELS = [("target", Role.TARGET), *PAIR]

    def compared(self) -> Comparison:
        return compare({"b": self.SCORED}, self.MODELS, [entry("b")], SPEC, self.TRAININGS)

    def test_scores_are_means_over_trainings(self) -> None:
        comparison = self.compared()
        shown = row(comparison, "b")
        assert {c.model: c.value for c in shown.cells} == {"target": 0.0, "clm": 5.0, "fused": 75.0}
        assert comparison.trainings == 2

    def test_differences_are_taken_seed_by_seed(self) -> None:
        """100 - 0 and 50 - 10: mean 70, standard deviation 30 sqrt(2)."""
        (_, against) = row(self.compared(), "b").differences
        assert against.opponent == "clm"
        assert against.difference == pytest.approx(70.0)
        assert against.between == pytest.approx(30 * 2**0.5)

    def test_trainings_that_disagree_carry_no_claim_that_one_alone_would(self) -> None:
        alone = compare({"b": self.SCORED}, self.MODELS, [entry("b")], SPEC)
        assert row(alone, "b").differences[1].p_value < 1e-4
        several = row(self.compared(), "b").differences[1]
        assert several.p_value > 0.05
        assert several.low < 0 < several.high

    def test_counts_of_what_changed_are_means(self) -> None:
        """Gained over the target before: 20 and 10."""
        found = next(c for c in self.compared().changes if c.role is Role.FUSED)
        assert (found.gained, found.lost, found.kept, found.after) == (15, 0, 5, 75.0)

    def test_a_training_that_was_not_scored_is_named(self) -> None:
        scored = {name: found for name, found in self.SCORED.items() if name != "clm@1"}
        with pytest.raises(InputError, match="b: clm@1 was not scored"):
            compare({"b": scored}, self.MODELS, [entry("b")], SPEC, self.TRAININGS)


class TestRefusals:
    def test_other_items(self) -> None:
        with pytest.raises(
            InputError, match=r"b: clm and fused were scored on different items: 1 only with clm"
        ):
            compare({"b": two(items([1, 0]), items([1, 0, 1]))}, PAIR, [entry("b")], SPEC)

    def test_a_model_without_items(self) -> None:
        with pytest.raises(InputError, match="b: fused was not scored") as caught:
            compare({"b": {"clm": items([1])}}, PAIR, [entry("b")], SPEC)
        assert caught.value.remedy

    def test_a_metric_that_is_not_there(self) -> None:
        scored = {"b": two(items([1], metric="acc_norm"), items([1], metric="acc_norm"))}
        with pytest.raises(InputError, match=r"no metric 'acc_nrm' \(did you mean 'acc_norm'\?\)"):
            compare(scored, PAIR, [entry("b", metrics=("acc_nrm",))], SPEC)

    def test_a_score_that_is_no_number(self) -> None:
        with pytest.raises(InputError, match="b: acc of fused is nan on item 001"):
            compare({"b": two(items([1, float("nan")]), items([1, 1]))}, PAIR, [entry("b")], SPEC)


class TestVerdict:
    """30 items per capability: 20 of them changed is sure, none changed is open."""

    @staticmethod
    def judge(models: Sequence[tuple[str, Role]] = tuple(PAIR), **changes: int) -> tuple[str, str]:
        """changes: per capability items fused gained over (if negative: lost to) every other model."""

        def outcomes(role: Role, change: int) -> list[Item]:
            right = (role is Role.FUSED) == (change > 0)
            return items([float(right)] * abs(change) + [1.0] * (30 - abs(change)))

        scored = {c: {name: outcomes(role, change) for name, role in models} for c, change in changes.items()}
        verdict = compare(scored, models, [entry(c, c) for c in changes], SPEC).verdict
        return verdict.outcome, verdict.sentence

    def test_gain(self) -> None:
        outcome, sentence = self.judge(facts=20, code=0)
        assert outcome == "gain"
        assert sentence == (
            "Fusion helped: against the same training without sources, +66.7 points on facts (p < 0.001, "
            "30 items), no significant difference on code (interval 0.0 to 0.0, 30 items)."
        )

    def test_loss(self) -> None:
        outcome, sentence = self.judge(facts=-20)
        assert outcome == "loss"
        assert sentence.startswith("Fusion hurt: ")
        assert "−66.7 points on facts (p < 0.001" in sentence

    def test_mixed_names_the_harm(self) -> None:
        outcome, sentence = self.judge(facts=20, code=-20)
        assert outcome == "mixed"
        assert "+66.7 points on facts" in sentence
        assert "but −66.7 points on code" in sentence

    def test_no_change(self) -> None:
        outcome, sentence = self.judge(facts=1)
        assert outcome == "no change"
        assert "no significant difference on facts (interval 0.0 to +10.0, 30 items)" in sentence

    def test_one_of_many_capabilities_must_survive_the_correction(self) -> None:
        # 6 of 6 discordant: p = 2/64 = 0.031, sure alone, not among two capabilities
        assert self.judge(facts=6)[0] == "gain"
        assert self.judge(facts=6, code=0)[0] == "no change"

    def test_without_control_the_target_before_is_the_yardstick(self) -> None:
        models = [("target", Role.TARGET), ("fused", Role.FUSED)]
        outcome, sentence = self.judge(models, facts=20)
        assert outcome == "gain"
        assert "against the target before training, +66.7 points" in sentence

    def test_harm_against_the_target_before_is_named_beside_a_gain_over_the_control(self) -> None:
        scored = {
            "facts": {"target": items([1] * 30), "clm": items([0] * 30), "fused": items([1] * 15 + [0] * 15)}
        }
        models = [("target", Role.TARGET), *PAIR]
        verdict = compare(scored, models, [entry("facts")], SPEC).verdict
        assert verdict.outcome == "gain"
        assert "against the target before training, −50.0 points on facts (p < 0.001)" in verdict.sentence

    def test_sources_beaten_and_not(self) -> None:
        right, wrong = items([1] * 30), items([0] * 30)
        scored = {
            "facts": {"teacher": wrong, "clm": wrong, "fused": right},
            "code": {"teacher": right, "clm": wrong, "fused": wrong},
        }
        models = [("teacher", Role.SOURCE), *PAIR]
        sentence = compare(
            scored, models, [entry("facts", "facts"), entry("code", "code")], SPEC
        ).verdict.sentence
        assert "fused beats teacher on facts; fused still trails teacher on code (−100.0)." in sentence

    def test_without_fused_there_is_no_verdict(self) -> None:
        verdict = compare({"b": {"clm": items([1])}}, [("clm", Role.CONTROL)], [entry("b")], SPEC).verdict
        assert verdict.sentence.startswith("No verdict: there is no fused model")

    def test_nothing_scored(self) -> None:
        verdict = compare({}, MODELS, [entry("b")], SPEC).verdict
        assert (verdict.outcome, verdict.sentence) == ("none", "Nothing was scored.")
