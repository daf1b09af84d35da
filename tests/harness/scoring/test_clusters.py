"""Documents that ask about one text are told by it, whatever the column's name; others stand alone."""

import pytest

from harness.scoring.samples import PASSAGES, cluster_of


@pytest.mark.parametrize("column", PASSAGES)
def test_questions_to_one_passage_share_a_cluster(column: str) -> None:
    first, second = ({column: "It rained.", "question": q} for q in ("Did it rain?", "Was it dry?"))
    assert cluster_of(first) == cluster_of(second) is not None
    assert cluster_of({column: "It was dry."}) != cluster_of(first)


@pytest.mark.parametrize(
    "doc", [{"question": "2 + 2?"}, {"passage": " "}, {"context": {"text": "It rained."}}, "a plain text"]
)
def test_without_a_passage_there_is_none(doc: object) -> None:
    assert cluster_of(doc) is None
