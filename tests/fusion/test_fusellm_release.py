"""What the authors' released code computes, on their own sequences."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from fusion.alignment import edit_path
from fusion.fusellm_release import ReleasedRows, align_release, match_tokens, transform_logits
from fusion.spelling import Spellings, map_same_spelling, map_spelling, spellings
from fusion.vocabulary import VocabularyMap

SOURCE = Spellings(("<s>", "\u2581a", "b", "ab", "c", "d"), "\u2581")
TARGET = Spellings(("\u0120a", "b", "c", "<s>", "x"), "\u0120")


def ints(*values: int) -> NDArray[np.int32]:
    return np.array(values, np.int32)


def lists(found: ReleasedRows) -> tuple[list[list[int]], list[list[float]]]:
    """Entries without padding."""
    ids = [[i for i in row if i >= 0] for row in found.ids.tolist()]
    return ids, [row[: len(kept)] for row, kept in zip(found.logits.tolist(), ids, strict=True)]


def test_tokens_meet_by_spelling_special_ones_too() -> None:
    assert match_tokens(ints(3, 0, 1), ints(0, 1, 2), TARGET, SOURCE, None).tolist() == [0, 1, 2]
    assert align_release(ints(3, 0, 1), ints(0, 1, 2), TARGET, SOURCE, None).tolist() == [0, 1]


def test_a_map_lets_other_tokens_meet() -> None:
    """d is nearest to "b" (lowest id at one edit); it matches "b" here, and nothing maps to x."""
    mapped = map_spelling(SOURCE, TARGET)
    assert match_tokens(ints(1, 4), ints(5, 5), TARGET, SOURCE, None).tolist() == [-1, -1]
    assert match_tokens(ints(1, 4), ints(5, 5), TARGET, SOURCE, mapped).tolist() == [0, -1]


def test_one_source_token_may_serve_several_of_the_target() -> None:
    """Unlike `align_em`: only the target's side is asked for one partner."""
    assert match_tokens(ints(1, 1), ints(2), TARGET, SOURCE, None).tolist() == [0, 0]
    assert match_tokens(ints(1), ints(2, 2), TARGET, SOURCE, None).tolist() == [-1]


@pytest.mark.parametrize(("ours", "theirs"), [((), ()), ((1,), ()), ((), (2,)), ((1,), (2,))])
def test_windows_of_one_token_or_none_have_no_row(ours: tuple[int, ...], theirs: tuple[int, ...]) -> None:
    assert align_release(ints(*ours), ints(*theirs), TARGET, SOURCE, None).tolist() == []


def test_entries_are_mapped_the_first_of_equals_kept_and_the_current_token_taught() -> None:
    """Row 0 has entries b, c, b', none; row 1 is not aligned (defects 1 and 2)."""
    to = VocabularyMap(ints(1, 2, 1, -1), ints(0, 0, 1, -1))
    logits = np.array([[4.0, 3.0, 2.0, 1.0]], np.float16)
    found = transform_logits(ints(1, 4), ints(0, -1), np.array([[3, 0, 2, 1]]), logits, to)
    assert found.ids.tolist() == [[1, 2, -1, -1], [4, -1, -1, -1]]
    assert found.logits.tolist() == [[3.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]
    assert found.aligned.tolist() == [True, False]
    assert found.leftover().tolist() == [0.0, 0.0]
    odds = np.exp(2.0)  # of b to c
    np.testing.assert_allclose(found.probabilities()[0, :2], [odds / (1 + odds), 1 / (1 + odds)], rtol=1e-6)
    np.testing.assert_allclose(found.probabilities(2.0)[0, 0], np.e / (1 + np.e), rtol=1e-6)
    assert found.probabilities()[1].tolist() == [1.0, 0.0, 0.0, 0.0]


def test_a_row_whose_entries_are_all_unknown_says_nothing() -> None:
    nothing = VocabularyMap(ints(-1, -1), ints(-1, -1))
    found = transform_logits(ints(1), ints(0), np.array([[0, 1]]), np.ones((1, 2)), nothing)
    assert found.ids.tolist() == [[-1, -1]]
    assert found.probabilities().tolist() == [[0.0, 0.0]]
    assert found.leftover().tolist() == [1.0]


# --- the authors' own sequences


Case = tuple[Spellings, Spellings, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def eight_thousand(shared: Path) -> Case:
    """24 sequences read by two tokenizers of 8,000 tokens."""
    folders = [shared / "golden/toks" / name for name in ("bpe8k", "uni8k")]
    target, source = (spellings(PreTrainedTokenizerFast.from_pretrained(folder)) for folder in folders)
    return target, source, json.loads((shared / "golden/align_REF_uni8k_to_bpe8k.json").read_text())


def tokens(row: dict[str, Any]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    return np.array(row["base_ids"], np.int32), np.array(row["blend_ids"], np.int32)


def test_paths_and_costs(eight_thousand: Case) -> None:
    target, source, golden = eight_thousand
    assert len(golden) == 24
    for row in golden:
        ours, theirs = tokens(row)
        path, cost = edit_path([source.bare(i) for i in theirs], [target.bare(i) for i in ours])
        partners: list[list[int]] = [[] for _ in ours]
        for i, j in path.tolist():
            partners[j].append(i)
        assert (partners, cost) == (row["base_to_blending"], row["dtw_cost"])


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_logits_at_the_targets_tokens(eight_thousand: Case, kind: str) -> None:
    target, source, golden = eight_thousand
    mapped = map_spelling(source, target) if kind == "soft" else map_same_spelling(source, target)
    for row in golden:
        ours, theirs = tokens(row)
        rows = match_tokens(ours, theirs, target, source, mapped if kind == "soft" else None)
        teacher = np.array(row["teacher_indices"]), np.array(row["teacher_logits"])
        found = transform_logits(ours, rows, *teacher, mapped)
        assert lists(found) == (row[f"{kind}_indices"], row[f"{kind}_logits"])


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_logits_of_a_large_model(shared: Path, kind: str) -> None:
    """25 sequences of two published models, from the authors' own paths (without their tokenizers)."""
    golden = json.loads((shared / "golden/align_REF_gemma3_to_smollm2.json").read_text())
    teacher = np.load(shared / "golden/teacher_gemma3.npz")
    near = np.load(shared / "golden/vocabmap_fast_gemma3_to_smollm2.npz")
    ids = near["idx"] if kind == "soft" else np.where(near["dist"] == 0, near["idx"], -1)
    mapped = VocabularyMap(ids, near["dist"].astype(np.int32))
    stops = np.cumsum(teacher["lens"])
    assert len(golden) == len(stops) == 25
    for row, stop, length in zip(golden, stops, teacher["lens"], strict=True):
        ours, theirs = tokens(row)
        rows = np.array([met[0] if len(met) == 1 else -1 for met in row["base_to_blending"]], np.int32)
        rows[(rows >= 0) & (ids[theirs[rows]] != ours)] = -1
        part = slice(stop - length, stop)
        found = transform_logits(ours, rows, teacher["indices"][part], teacher["logits"][part], mapped)
        assert lists(found) == (row[f"{kind}_indices"], row[f"{kind}_logits"])
