"""Alignment by end byte, EM and MinED: hand-made cases, textbook versions and properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fusion.alignment import align_em, align_end_byte, align_mined, align_windows, edit_path
from fusion.distributions import Distributions
from fusion.errors import FusionError
from fusion.fusellm_release import align_release
from fusion.spelling import Spellings, map_same_spelling, spellings
from fusion.tokens import Encoding, TokenTable, encode, token_spans, token_table
from fusion.vocabulary import VocabularyMap, map_exact
from tests.fusion.toy_tokenizers import byte_fallback, byte_level, families, word_piece


def ints(*values: int) -> NDArray[np.int32]:
    return np.array(values, np.int32)


def table(*pieces: bytes, **roles: int) -> TokenTable:
    return TokenTable(pieces, roles, frozenset(roles.values()))


# --- end byte


def test_rows_meet_where_both_have_read_the_same_bytes() -> None:
    """Target "ab|c|de|f", source "a|bc|def"."""
    assert align_end_byte(ints(2, 3, 5, 6), ints(1, 3, 6)).tolist() == [-1, 1, -1, 2]


def test_last_meets_last_where_several_rows_end_alike() -> None:
    """Target: bos and a lone space mark at 0; source: bos alone. Then a token that adds no byte."""
    assert align_end_byte(ints(0, 0, 2), ints(0, 2, 2)).tolist() == [-1, 0, 2]


@pytest.mark.parametrize(("ours", "theirs"), [((), (1,)), ((1,), ()), ((), ())])
def test_windows_without_rows(ours: tuple[int, ...], theirs: tuple[int, ...]) -> None:
    assert align_end_byte(ints(*ours), ints(*theirs)).tolist() == [-1] * len(ours)


ascending = st.lists(st.integers(0, 2), max_size=30).map(lambda steps: np.cumsum(steps, dtype=np.int32))


@settings(max_examples=200)
@given(ours=ascending, theirs=ascending)
def test_end_byte_matches_the_definition(ours: NDArray[np.int32], theirs: NDArray[np.int32]) -> None:
    last = {int(end): row for row, end in enumerate(theirs)}
    expected = [
        last.get(int(end), -1) if row + 1 == len(ours) or ours[row + 1] != end else -1
        for row, end in enumerate(ours)
    ]
    assert align_end_byte(ours, theirs).tolist() == expected


@settings(max_examples=50)
@given(ends=ascending)
def test_aligned_rows_never_go_back(ends: NDArray[np.int32]) -> None:
    kept = [r for r in align_end_byte(ends, np.unique(ends)).tolist() if r >= 0]
    assert kept == sorted(set(kept))


@pytest.mark.parametrize("text", ["The cats sat.", "日本 😀\r\n\tThe cat\x00", " cat", "x"])
def test_identity_every_row_meets_itself(text: str) -> None:
    for tokenizer in (byte_level(), byte_fallback()):
        names = token_table(tokenizer)
        found = encode(tokenizer, names, text, bos="bos" in names.roles, eos=True)
        itself = np.arange(len(found.input_ids) - 1)
        assert align_em(found.input_ids, found.input_ids, names, names).tolist() == itself.tolist()
        by_end = align_end_byte(found.ends[:-1], found.ends[:-1])
        repeated = np.append(found.ends[1:-1] == found.ends[:-2], False)
        assert by_end.tolist() == np.where(repeated, -1, itself).tolist()


def test_contexts_are_equal_up_to_white_space_in_all_families() -> None:
    text = "The cat sat on\nthe mat."
    for a in families().values():
        for b in families().values():
            ours, theirs = (encode(t, token_table(t), text, bos=False, eos=True) for t in (a, b))
            rows = align_end_byte(ours.ends[:-1], theirs.ends[:-1])
            hit = np.flatnonzero(rows >= 0)
            assert {3, 7, 11, 14, 18, 22} <= set(ours.ends[hit].tolist())
            assert (theirs.ends[rows[hit]] == ours.ends[hit]).all()


# --- the paper's


def test_costs_lead_the_path_and_ties_go_diagonally() -> None:
    path, cost = edit_path(["ab", "c"], ["a", "b", "c"])
    assert path.tolist() == [[0, 0], [0, 1], [1, 2]]
    assert cost == 2  # ab/a and ab/b cost 1 each
    assert edit_path(["x", "y"], ["y", "x"])[0].tolist() == [[0, 0], [1, 1]]  # up and left cost the same


def slow_path(source: list[str], target: list[str]) -> tuple[list[list[int]], int]:
    """The dynamic programme as in a textbook; `min` takes the first of equals: diagonal, up, left."""
    from rapidfuzz.distance import Levenshtein

    best: dict[tuple[int, int], tuple[int, tuple[int, int] | None]] = {}
    for i, s in enumerate(source):
        for j, t in enumerate(target):
            before = [c for c in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if c in best]
            came = min(before, key=lambda c: best[c][0]) if before else None
            best[i, j] = (best[came][0] if came else 0) + Levenshtein.distance(s, t), came
    cell: tuple[int, int] | None = (len(source) - 1, len(target) - 1)
    total, path = best[cell][0], []  # type: ignore[index]
    while cell is not None:
        path.append(list(cell))
        cell = best[cell][1]
    return path[::-1], total


words = st.lists(st.text("ab", max_size=3), min_size=1, max_size=8)


@settings(max_examples=150)
@given(source=words, target=words)
def test_path_is_that_of_the_textbook(source: list[str], target: list[str]) -> None:
    path, cost = edit_path(source, target)
    assert (path.tolist(), cost) == slow_path(source, target)


def test_empty_sequences_have_no_path() -> None:
    assert edit_path([], ["a"])[0].shape == (0, 2)


SOURCE = table(b"ab", b"c", b" d", b"e", b"f", b"<s>", bos=5)
TARGET = table(b"a", b"b", b"c", b" d", b"x", b"[B]", bos=5)


def test_em_keeps_equal_tokens_that_meet_one_to_one() -> None:
    """ab meets a and b, so neither is kept; c and " d" meet their like; e meets x, which differs."""
    found = align_em(ints(0, 1, 2, 3, 4, 0), ints(0, 1, 2, 3, 0), TARGET, SOURCE)
    assert found.tolist() == [-1, -1, 1, 2, -1]


def test_equal_tokens_that_meet_several_are_not_kept() -> None:
    """a a c against a c: the source's a meets both, or the target's a meets both; which it is for is open."""
    letters = table(b"a", b"c")
    assert align_em(ints(0, 0, 1, 1), ints(0, 1, 1), letters, letters).tolist() == [-1, -1, 1]
    assert align_em(ints(0, 1, 1), ints(0, 0, 1, 1), letters, letters).tolist() == [-1, 2]


def test_mined_keeps_what_the_map_says_too() -> None:
    to_x = VocabularyMap(ints(-1, -1, -1, 4, -1, -1), ints(-1, -1, -1, 1, -1, -1))
    found = align_mined(ints(0, 1, 2, 3, 4, 0), ints(0, 1, 2, 3, 0), TARGET, SOURCE, to_x)
    assert found.tolist() == [-1, -1, 1, 2, 3]


def test_bos_meets_bos_whatever_its_spelling() -> None:
    """Defect 10; and a bos that only one model has does not shift the rest."""
    both = align_em(ints(5, 2, 3, 2), ints(5, 1, 2, 1), TARGET, SOURCE)
    assert both.tolist() == [0, 1, 2]
    assert align_em(ints(2, 3, 2), ints(5, 1, 2, 1), TARGET, SOURCE).tolist() == [1, 2]


def test_rows_are_those_that_predict_something() -> None:
    """S tokens have S - 1 rows on both sides."""
    assert align_em(ints(2), ints(1), TARGET, SOURCE).tolist() == []
    assert align_em(ints(2, 3), ints(1), TARGET, SOURCE).tolist() == [-1]
    assert align_em(ints(5, 2), ints(5), TARGET, SOURCE).tolist() == [-1]  # a lone bos predicts nothing


def test_special_tokens_are_not_text() -> None:
    """Text that spells like another model's end token is not that token."""
    spelled, marked = table(b"c", b"</s>"), table(b"c", b"</s>", eos=1)
    found = align_em(ints(0, 1, 0), ints(0, 1, 0), spelled, marked)
    assert found.tolist() == [0, -1]
    assert align_em(ints(0, 1, 0), ints(0, 1, 0), marked, marked).tolist() == [0, 1]


def test_end_byte_keeps_more_than_exact_match_here() -> None:
    """Where " cat" and "s" meet " cats": other tokens, same bytes read."""
    text = "The cats sat on the mat. The dogs ran."
    target, source = token_table(byte_level()), token_table(word_piece())
    ours = encode(byte_level(), target, text, bos=False, eos=True)
    theirs = encode(word_piece(), source, text, bos=False, eos=True)
    by_end = align_end_byte(ours.ends[:-1], theirs.ends[:-1])
    exact = align_em(ours.input_ids, theirs.input_ids, target, source)
    mined = align_mined(ours.input_ids, theirs.input_ids, target, source, map_exact(source, target))
    assert (by_end >= 0).sum() > (mined >= 0).sum() >= (exact >= 0).sum() > 0


# --- whatever the text


LANGUAGES = [
    "The cats sat. ",
    "Le chat s'est assis; ",
    "日本語と漢字 ",
    "नमस्ते दुनिया ",
    "مرحبا بالعالم ",
    "Привет, мир ",
]
ODDITIES = [
    "😀👩\u200d👩\u200d👧",
    "\r\n",
    "\t\t",
    "\x00",
    " \n  ",
    "e\u0301",
    "a" * 300,
    " " * 70,
    "<s>",
    "</s>",
    "\u2581",
    "\u0120",
]
texts = st.lists(st.sampled_from(LANGUAGES + ODDITIES) | st.text(max_size=8), max_size=6).map("".join)
COVERING = {"byte_level": byte_level, "byte_fallback": byte_fallback}  # tokenizers that write any text


@settings(max_examples=80)
@given(text=texts)
def test_every_byte_is_covered_once(text: str) -> None:
    """Ends ascend to the text's length without a gap: each byte is read up to by one token."""
    for make in COVERING.values():
        spans = token_spans(make(), token_table(make()), text)
        before = np.concatenate([np.zeros(1, np.int32), spans.ends])
        assert before[-1] == len(text.encode())
        assert (np.diff(before) >= 0).all()
        read = spans.ends > spans.starts
        assert (spans.starts[read] <= before[:-1][read]).all()


@settings(max_examples=40)
@given(text=texts)
def test_a_tokenizer_meets_itself_in_all_modes(text: str) -> None:
    for make in COVERING.values():
        names = token_table(make())
        found = encode(make(), names, text, bos="bos" in names.roles, eos=True)
        itself = np.arange(len(found.input_ids) - 1)
        ids = found.input_ids, found.input_ids
        assert align_em(*ids, names, names).tolist() == itself.tolist()
        assert align_mined(*ids, names, names, map_exact(names, names)).tolist() == itself.tolist()
        own = spellings(make())
        assert align_release(*ids, own, own, None).tolist() == itself.tolist()
        assert align_release(*ids, own, own, map_same_spelling(own, own)).tolist() == itself.tolist()
        last = np.append(found.ends[1:-1] != found.ends[:-2], True)[: len(itself)]
        assert (
            align_end_byte(found.ends[:-1], found.ends[:-1]).tolist() == np.where(last, itself, -1).tolist()
        )


@settings(max_examples=40)
@given(text=texts)
def test_aligned_rows_have_read_the_same_bytes(text: str) -> None:
    a, b = (encode(make(), token_table(make()), text, bos=False, eos=True) for make in COVERING.values())
    for ours, theirs in ((a, b), (b, a)):
        rows = align_end_byte(ours.ends[:-1], theirs.ends[:-1])
        hit = rows >= 0
        assert (ours.ends[:-1][hit] == theirs.ends[rows[hit]]).all()
        common = set(ours.ends[:-1].tolist()) & set(theirs.ends[:-1].tolist())
        assert set(ours.ends[:-1][hit].tolist()) == common


@settings(max_examples=100)
@given(ours=ascending, theirs=ascending, data=st.data())
def test_windows_aligned_one_by_one_are_aligned_as_a_whole(
    ours: NDArray[np.int32], theirs: NDArray[np.int32], data: st.DataObject
) -> None:
    """A cut at byte c puts rows that end at or before c into the first window, the others into the second."""
    cut = data.draw(st.integers(0, int(max(ours.max(initial=0), theirs.max(initial=0)))))
    a, b = np.searchsorted(ours, cut, "right"), np.searchsorted(theirs, cut, "right")
    second = align_end_byte(ours[a:] - cut, theirs[b:] - cut)
    parts = [*align_end_byte(ours[:a], theirs[:b]), *np.where(second >= 0, second + b, -1)]
    assert parts == align_end_byte(ours, theirs).tolist()


def test_cheapest_path_of_windows_is_that_of_the_whole_where_they_part_alike() -> None:
    """Where a cut is a zero-cost diagonal step, the path goes through it: windows change nothing."""
    first, second = (["ab", "c", "\n"], ["a", "b", "c", "\n"]), (["de", "f"], ["d", "ef"])
    parts = [edit_path(*first)[0], edit_path(*second)[0] + np.array([3, 4])]
    whole, cost = edit_path(first[0] + second[0], first[1] + second[1])
    assert whole.tolist() == np.concatenate(parts).tolist()
    assert cost == edit_path(*first)[1] + edit_path(*second)[1]


@pytest.mark.parametrize(("ours", "theirs"), [((), ()), ((0,), ()), ((), (1,)), ((0,), (1,))])
def test_empty_windows_have_no_rows_in_any_mode(ours: tuple[int, ...], theirs: tuple[int, ...]) -> None:
    """Neither text nor bos: nothing predicts anything."""
    nothing = VocabularyMap(np.full(6, -1, np.int32), np.full(6, -1, np.int32))
    assert align_em(ints(*ours), ints(*theirs), TARGET, SOURCE).tolist() == []
    assert align_mined(ints(*ours), ints(*theirs), TARGET, SOURCE, nothing).tolist() == []
    assert align_end_byte(ints(*ours)[:-1], ints(*theirs)[:-1]).tolist() == []


def test_a_target_that_reads_on_where_the_source_is_empty_has_no_teacher() -> None:
    assert align_em(ints(0, 1, 2), ints(), TARGET, SOURCE).tolist() == [-1, -1]
    assert align_em(ints(), ints(0, 1), TARGET, SOURCE).tolist() == []


long_words = st.lists(st.text("abc", max_size=90), min_size=1, max_size=4)


@settings(max_examples=40)
@given(source=long_words, target=long_words)
def test_path_over_very_long_tokens(source: list[str], target: list[str]) -> None:
    path, cost = edit_path(source, target)
    assert (path.tolist(), cost) == slow_path(source, target)


def test_the_map_back_is_not_taken_for_the_map_there() -> None:
    target, source = table(b"a", b"b"), table(b"a", b"b", b"c")
    back = map_exact(target, source)
    with pytest.raises(FusionError, match="is from 2 tokens to 3, but the source has 3 and the target 2"):
        align_mined(ints(0, 1), ints(0, 1), target, source, back)
    pieces = Spellings(("a", "b"), ""), Spellings(("a", "b", "c"), "")
    with pytest.raises(FusionError, match="is from 2 tokens to 3, but the source has 3 and the target 2"):
        align_release(ints(0, 1), ints(0, 1), *pieces, map_same_spelling(*pieces))


# --- many windows


def windows_of(*windows: NDArray[np.int32]) -> Distributions:
    """Windows of the given ids, each token one byte."""
    encodings = [Encoding(ids, np.arange(1, len(ids) + 1, dtype=np.int32)) for ids in windows]
    return Distributions.create(encodings, [False] * len(windows), k=1, vocabulary_size=9)


def test_rows_of_many_windows_are_numbered_over_all_of_them() -> None:
    """Three windows with 2, 0 and 3 rows of the target, and 1, 2 and 2 of the source."""
    ours = windows_of(ints(1, 2, 3), ints(), ints(1, 2, 3, 4))
    theirs = windows_of(ints(1, 2), ints(5, 5, 5), ints(1, 2, 3))
    met = {3: ints(-1, 0), 0: ints(), 4: ints(1, -1, 0)}
    found = align_windows(ours, theirs, lambda a, b: met[len(a.input_ids)])
    assert found.tolist() == [-1, 0, 4, -1, 3] and found.dtype == np.int32
    assert align_windows(windows_of(), windows_of(), lambda a, b: ints()).tolist() == []


def test_end_bytes_give_the_same_rows_window_by_window_and_at_once() -> None:
    tables = token_table(byte_level()), token_table(word_piece())
    texts = ["The cat sat.", "", "def add(a, b):\n    return a + b\n", "x"]
    ours, theirs = (
        Distributions.create(
            [encode(tokenizer, names, text, bos=False, eos=True) for text in texts],
            [True] * 4,
            k=1,
            vocabulary_size=len(names.pieces),
        )
        for tokenizer, names in zip((byte_level(), word_piece()), tables, strict=True)
    )
    found = align_windows(ours, theirs, lambda a, b: align_end_byte(a.ends[:-1], b.ends[:-1]))
    assert found.tolist() == align_end_byte(ours.read_to, theirs.read_to).tolist()
    assert (found >= 0).sum() > 10


def test_windows_that_do_not_correspond_are_an_error() -> None:
    two, one = windows_of(ints(1, 2, 3), ints(1, 2)), windows_of(ints(1, 2, 3))
    with pytest.raises(FusionError, match="the target has read 2 windows and the source 1"):
        align_windows(two, one, lambda a, b: ints(-1, -1))
    too_few, beyond = ints(0), ints(0, 2)
    with pytest.raises(FusionError, match="aligned 1 rows with source rows up to 0; the target has 2 rows"):
        align_windows(one, one, lambda a, b: too_few)
    with pytest.raises(FusionError, match=r"window 0: aligned 2 rows .* up to 2; .* the source 2"):
        align_windows(one, one, lambda a, b: beyond)
