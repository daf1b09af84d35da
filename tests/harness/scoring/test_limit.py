"""A limit draws the same documents for every model, in any order of the file, and keeps them as it grows."""

from hashlib import sha256
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harness.scoring.limit import chosen
from harness.scoring.samples import doc_hash, item_ids

DOCUMENTS = st.lists(st.integers(0, 30).map(lambda i: {"question": f"number {i}"}), min_size=1, max_size=25)
LIMITS = st.integers(1, 30)


def texts(documents: list[dict[str, Any]], limit: int | None, seed: int = 1234, task: str = "t") -> list[str]:
    return [documents[i]["question"] for i in chosen(task, documents, limit, seed)]


@given(DOCUMENTS, LIMITS)
def test_as_many_as_asked_for_in_document_order(documents: list[dict[str, Any]], limit: int) -> None:
    places = list(chosen("t", documents, limit, seed=7))
    assert len(places) == min(limit, len(documents))
    assert places == sorted(set(places))


@given(DOCUMENTS, LIMITS, LIMITS)
def test_a_larger_limit_keeps_the_items_of_a_smaller_one(
    documents: list[dict[str, Any]], one: int, other: int
) -> None:
    small, large = sorted((one, other))
    assert set(chosen("t", documents, small, seed=7)) <= set(chosen("t", documents, large, seed=7))


@given(DOCUMENTS, LIMITS, st.randoms())
def test_the_files_order_does_not_matter(documents: list[dict[str, Any]], limit: int, random: Any) -> None:
    shuffled = random.sample(documents, len(documents))
    assert sorted(texts(shuffled, limit)) == sorted(texts(documents, limit))


@given(DOCUMENTS, LIMITS)
def test_ids_of_repeated_documents_do_not_depend_on_the_limit(
    documents: list[dict[str, Any]], limit: int
) -> None:
    """The second occurrence is "-2" in a whole run; it must not be chosen before the first."""
    ids = item_ids(("t", doc_hash(d)) for d in documents)
    places = chosen("t", documents, limit, seed=7)
    assert item_ids(("t", doc_hash(documents[i])) for i in places) == [ids[i] for i in places]


def test_the_smallest_hashes_over_seed_task_and_document_are_taken() -> None:
    documents = [{"question": f"number {i}"} for i in range(50)]

    def place(document: dict[str, Any]) -> str:
        return sha256(f"3\0arc\0{doc_hash(document)}".encode()).hexdigest()

    smallest = sorted(documents, key=place)[:5]
    assert texts(documents, 5, seed=3, task="arc") == [d["question"] for d in documents if d in smallest]


def test_seed_and_task_draw_other_documents() -> None:
    """Of 50 documents 10: two draws are the same with probability 1 / (50 choose 10) = 1e-10."""
    documents = [{"question": f"number {i}"} for i in range(50)]
    assert texts(documents, 10, seed=1) != texts(documents, 10, seed=2)
    assert texts(documents, 10, task="a") != texts(documents, 10, task="b")
    assert texts(documents, 10) != [d["question"] for d in documents[:10]]


def test_without_a_limit_all_documents_are_scored() -> None:
    documents = [{"question": f"number {i}"} for i in range(4)]
    assert (
        list(chosen("t", documents, None, seed=1)) == list(chosen("t", documents, 9, seed=1)) == [0, 1, 2, 3]
    )
