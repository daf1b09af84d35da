"""Coverage and attribution counts: known values on windows made by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fusion.coverage import AttributionCount, CoverageCount
from fusion.distributions import Distributions, TopK
from fusion.projection import Projected, project
from fusion.tokens import Encoding
from fusion.vocabulary import VocabularyMap


def model(*windows: tuple[list[int], list[int]], exact: bool = True) -> Distributions:
    """Windows as (ids, ends); every row expects token 3 with probability 0.5."""
    encodings = [Encoding(np.array(i, np.int32), np.array(e, np.int32), exact) for i, e in windows]
    out = Distributions.create(encodings, [False] * len(windows), k=1, vocabulary_size=9)
    for number, (ids, _) in enumerate(windows):
        n = len(ids) - 1
        half = np.full((n, 1), np.log(0.5), np.float16)
        gold = np.full(n, -1.0, np.float32)
        out.put(number, TopK(np.full((n, 1), 3, np.int32), half, np.full(n, 0.5, np.float32), gold))
    return out


OURS = model(([0, 5, 6, 7, 3], [0, 1, 2, 3, 4]))
THEIRS = model(([0, 1, 2, 4], [0, 1, 2, 4]))
TO_OURS = VocabularyMap(np.array([0, 5, 3, 3, -1], np.int32), np.zeros(5, np.int32))
ROWS = np.array([0, 1, -1, 2], np.int32)  # the last is no alignment a rule would make; it only counts here


def projected(rows: NDArray[np.int32], theirs: Distributions = THEIRS) -> Projected:
    return project(theirs.ids, theirs.logprobs, theirs.leftover, rows, TO_OURS)


def test_by_hand() -> None:
    """Of four rows three are aligned and keep half of their mass, which is on token 3: the last row's own
    next token. Their next tokens 1, 2, 4 map to 5, 3 and nothing where ours are 5, 6 and 3: one agrees."""
    count = CoverageCount()
    count.add(ROWS, OURS, THEIRS, TO_OURS, projected(ROWS), ["code"])
    assert count.percent() == {
        "positions": 75.0,
        "mass": pytest.approx(50.0, abs=0.1),
        "agreement": pytest.approx(100 / 3),
        "next_token": pytest.approx(50 / 3, abs=0.1),
        "by_offsets": 0.0,
        "positions.code": 75.0,
        "mass.code": pytest.approx(50.0, abs=0.1),
    }


def test_blocks_add_up_and_parts_are_told_apart() -> None:
    nowhere = np.full(4, -1, np.int32)
    count = CoverageCount()
    count.add(ROWS, OURS, THEIRS, TO_OURS, projected(ROWS), ["code"])
    count.add(nowhere, OURS, model(([0, 1], [0, 4])), TO_OURS, projected(nowhere), ["text"])
    found = count.percent()
    assert (found["positions"], found["positions.code"], found["positions.text"]) == (37.5, 75.0, 0.0)
    assert found["mass"] == found["mass.code"] and found["mass.text"] == 0.0  # no row, no mass to lose


def test_windows_that_a_tokenizer_changed_are_counted() -> None:
    changed = model(([0, 1, 2, 4], [0, 1, 2, 4]), exact=False)
    count = CoverageCount()
    count.add(ROWS, OURS, changed, TO_OURS, projected(ROWS, changed), ["code"])
    count.add(ROWS, OURS, THEIRS, TO_OURS, projected(ROWS), ["code"])
    assert count.percent()["by_offsets"] == 50.0


def test_nothing_counted_is_zero() -> None:
    assert set(CoverageCount().percent().values()) == {0.0}


def test_attribution_by_document_and_part() -> None:
    """Two blocks: document 0 (code) is cut by their border, document 1 (text) has one taught row of two.

    Of the five taught rows the source has the largest weight in three; its mean weight is (3 x 0.8 + 2 x
    0.5) / 5.
    """
    count = AttributionCount(["target", "source"])
    count.add(np.array([1, 1, 0], np.int8), np.array([0.2, 0.8]), [(0, "code")], np.array([0, 3]))
    winner = np.array([1, -1, 0], np.int8)
    count.add(winner, np.array([0.5, 0.5]), [(0, "code"), (1, "text")], np.array([0, 1, 3]))
    assert count.by_document() == {
        "document": [0, 0, 1, 1],
        "part": ["code", "code", "text", "text"],
        "model": ["target", "source", "target", "source"],
        "rows": [1, 3, 1, 0],
    }
    found = count.percent()
    assert found["attribution"] == {"target": pytest.approx(40.0), "source": pytest.approx(60.0)}
    assert found["mean_weight"] == {"target": pytest.approx(32.0), "source": pytest.approx(68.0)}
    assert found["attribution_by_part"] == {
        "code": {"target": 25.0, "source": 75.0},
        "text": {"target": 100.0, "source": 0.0},
    }
    assert found["taught_percent"] == pytest.approx(100 * 5 / 6)
