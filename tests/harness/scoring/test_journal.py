"""The journal gives back what was written whole, and the model before it is asked only for the rest."""

from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.scoring.journal import Journal, JournaledLM, Response, request_key
from harness.scoring.samples import doc_hash, item_ids

GREEDY = {"until": ["\n"], "do_sample": False}
RESPONSES = [
    Response("a1", "loglikelihood", "item", -1.25, True),
    Response("b2", "loglikelihood", None, float("-inf"), False),
    Response("c3", "loglikelihood_rolling", "item", -0.1),
    Response("d4", "generate_until", "item", text="é\n\x00 end"),
]


def written(folder: Path, responses: list[Response], **settings: Any) -> Journal:
    journal = Journal(folder, **settings)
    for response in responses:
        journal.add(response)
    journal.flush()
    return journal


def read(folder: Path) -> list[Response]:
    journal = Journal(folder)
    return [response for r in RESPONSES if (response := journal.get(r.request))]


# --- on disk


def test_what_is_read_equals_what_was_written(tmp_path: Path) -> None:
    written(tmp_path, RESPONSES[:3])
    written(tmp_path, RESPONSES[3:])
    assert read(tmp_path) == RESPONSES
    assert [p.name for p in sorted(tmp_path.iterdir())] == [
        "answers-000001.parquet",
        "answers-000002.parquet",
    ]
    assert Journal(tmp_path).inherited == {r.request for r in RESPONSES}


def test_columns_have_the_documented_names_and_types(tmp_path: Path) -> None:
    import pyarrow.parquet as parquet

    written(tmp_path, RESPONSES)
    schema = parquet.read_schema(tmp_path / "answers-000001.parquet")
    assert dict(zip(schema.names, map(str, schema.types), strict=True)) == {
        "request": "string",
        "kind": "string",
        "item": "string",
        "loglikelihood": "double",
        "greedy": "bool",
        "text": "string",
    }


@pytest.mark.parametrize(
    ("limits", "parts"),
    [({"answers": 2, "seconds": 1e9}, 2), ({"answers": 10**9, "seconds": 0.0}, 4), ({}, 0)],
)
def test_a_part_is_written_after_so_many_answers_or_seconds(
    limits: dict[str, Any], parts: int, tmp_path: Path
) -> None:
    journal = Journal(tmp_path, **limits)
    for response in RESPONSES:
        journal.add(response)
    assert len(list(tmp_path.iterdir())) == parts


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), cut=st.booleans())
def test_a_damaged_part_is_dropped_and_the_others_stay(place: float, cut: bool, tmp_path: Path) -> None:
    """Cut short, or one byte turned over: nothing that is read is other than it was written."""
    folder = Path(mkdtemp(dir=tmp_path))
    written(folder, RESPONSES[:2])
    written(folder, RESPONSES[2:])
    path = max(folder.iterdir())
    data = bytearray(path.read_bytes())
    at = int(place * len(data))
    data[at] ^= 0xFF
    path.write_bytes(data[:at] if cut else data)
    found = read(folder)
    assert found[:2] == RESPONSES[:2]
    assert found[2:] in ([], RESPONSES[2:])
    if cut:
        assert found[2:] == []


def test_a_damaged_part_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "answers-000007.parquet").write_bytes(b"half")
    (tmp_path / ".answers-000008.parquet.99").write_bytes(b"never moved into place")
    written(tmp_path, RESPONSES)
    assert read(tmp_path) == RESPONSES
    assert (tmp_path / "answers-000008.parquet").is_file()


def test_parts_of_another_layout_are_dropped(tmp_path: Path) -> None:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    parquet.write_table(arrow.table({"request": ["a1"]}), tmp_path / "answers-000001.parquet")
    assert Journal(tmp_path).inherited == frozenset()


# --- keys


def test_keys_tell_kind_context_continuation_and_settings_apart() -> None:
    requests: list[tuple[str, tuple[Any, ...]]] = [
        ("loglikelihood", ("ab", "c")),
        ("loglikelihood", ("a", "bc")),
        ("loglikelihood", ("ab", "d")),
        ("loglikelihood", ("", "abc")),
        ("loglikelihood_rolling", ("ab",)),
        ("generate_until", ("ab", GREEDY)),
        ("generate_until", ("ab", {**GREEDY, "until": ["\n", "Q"]})),
        ("generate_until", ("ab", {**GREEDY, "max_gen_toks": 3})),
        ("generate_until", ("a", GREEDY)),
    ]
    assert len({request_key(kind, arguments) for kind, arguments in requests}) == len(requests)
    reordered = dict(reversed(GREEDY.items()))
    assert request_key("generate_until", ("ab", reordered)) == request_key("generate_until", ("ab", GREEDY))


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"do_sample": True}, False),
        ({"temperature": 0.7}, False),
        ({"do_sample": False, "temperature": 0.7}, True),
        ({"temperature": 0.0}, True),
        ({}, True),
    ],
)
def test_sampled_generation_is_in_no_journal(settings: dict[str, Any], kept: bool) -> None:
    assert (request_key("generate_until", ("a", settings)) is not None) is kept


def test_pictures_are_in_no_journal() -> None:
    assert request_key("generate_until", ("a", GREEDY, {"visual": [object()]})) is None


# --- before a model


class Model:
    """Answers with the length of the continuation, tells lm-eval's hook unless it is one that does not, and
    breaks off before its answer number `breaks`."""

    def __init__(self, breaks: int | None = None, *, tells: bool = True) -> None:
        self.cache_hook: Any = "lm-eval's own"
        self.asked: list[tuple[Any, ...]] = []
        self.breaks, self.tells = breaks, tells

    def set_cache_hook(self, hook: Any) -> None:
        self.cache_hook = hook

    def loglikelihood(self, requests: list[Any], **_: Any) -> list[Any]:
        return [self.answer("loglikelihood", r, (-float(len(r.args[1])), True)) for r in requests]

    def generate_until(self, requests: list[Any], **_: Any) -> list[Any]:
        numbers = range(len(self.asked), len(self.asked) + len(requests))
        return [self.answer("generate_until", r, f"n{n}") for n, r in zip(numbers, requests, strict=True)]

    def answer(self, kind: str, request: Any, result: Any) -> Any:
        if self.breaks is not None and len(self.asked) == self.breaks:
            raise RuntimeError("killed")
        self.asked.append(request.args)
        if self.tells:
            self.cache_hook.add_partial(kind, request.args, result)
        return result


def request(*arguments: Any) -> Any:
    return SimpleNamespace(args=arguments, doc={"q": arguments[0]}, task_name="t")


PAIRS = [request("a", "x"), request("b", "xy"), request("a", "x"), request("c", "xyz"), request("d", "w")]
RESULTS = [(-1.0, True), (-2.0, True), (-1.0, True), (-3.0, True), (-1.0, True)]


def ask(model: Model, folder: Path | None, requests: list[Any] = PAIRS) -> tuple[list[Any], int, int]:
    with JournaledLM(model, Journal(folder)) as lm:
        results = lm.loglikelihood(requests)
    return results, lm.reused, lm.computed


@pytest.mark.parametrize("tells", [True, False])
def test_equal_requests_are_asked_once_and_answered_in_order(tells: bool, tmp_path: Path) -> None:
    model = Model(tells=tells)
    assert ask(model, tmp_path) == (RESULTS, 0, 4)
    assert len(model.asked) == len(set(model.asked)) == 4
    again = Model()
    assert ask(again, tmp_path) == (RESULTS, 4, 0)
    assert again.asked == []


@pytest.mark.parametrize("breaks", [0, 1, 3])
def test_after_a_break_exactly_the_rest_is_asked(breaks: int, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="killed"):
        ask(Model(breaks), tmp_path)
    model = Model()
    assert ask(model, tmp_path) == (RESULTS, breaks, 4 - breaks)
    assert len(model.asked) == 4 - breaks


def test_without_a_folder_answers_are_kept_for_the_scoring_alone() -> None:
    model = Model()
    with JournaledLM(model, Journal(None)) as lm:
        assert lm.loglikelihood(PAIRS) == lm.loglikelihood(PAIRS) == RESULTS
    assert (lm.reused, lm.computed, len(model.asked)) == (0, 4, 4)


def test_sampled_answers_are_neither_kept_nor_confused(tmp_path: Path) -> None:
    """Repeats of one document are equal requests with answers of their own, a greedy one between them."""
    requests = [request("a", {"do_sample": True}), request("b", GREEDY), request("a", {"do_sample": True})]
    for expected in (
        ["n0", "n1", "n2"],
        ["n0", "n1", "n1"],
    ):  # the second time "b" is known: "n1" of the first
        with JournaledLM(Model(), Journal(tmp_path)) as lm:
            assert lm.generate_until(requests) == expected


def test_what_was_not_asked_is_not_kept(tmp_path: Path) -> None:
    """A class that tells the hook of arguments it has changed must not answer another request by that."""

    class Changing(Model):
        def answer(self, kind: str, request: Any, result: Any) -> Any:
            self.cache_hook.add_partial(kind, ("changed", request.args[1]), (0.0, False))
            return super().answer(kind, request, result)

    ask(Changing(), tmp_path)
    assert len(Journal(tmp_path).inherited) == 4
    assert ask(Model(), tmp_path, [request("changed", "x")]) == ([(-1.0, True)], 0, 1)


def test_a_server_that_gave_nothing_is_asked_again(tmp_path: Path) -> None:
    class Failing(Model):
        def answer(self, kind: str, request: Any, result: Any) -> Any:
            return super().answer(kind, request, None if request.args == ("b", "xy") else result)

    assert ask(Failing(), tmp_path)[0][1] is None
    assert ask(Model(), tmp_path) == (RESULTS, 3, 1)


def test_answers_name_their_document(tmp_path: Path) -> None:
    ask(Model(), tmp_path, [request("a", "x")])
    key = request_key("loglikelihood", ("a", "x"))
    response = Journal(tmp_path).get(str(key))
    assert response is not None
    assert [response.item] == item_ids([("t", doc_hash({"q": "a"}))])


def test_progress_is_told_answer_by_answer(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        ask(Model(breaks=2), tmp_path)
    told: list[tuple[int, int]] = []
    with JournaledLM(Model(), Journal(tmp_path), lambda done, total: told.append((done, total))) as lm:
        lm.loglikelihood(PAIRS)
        lm.generate_until([request("a", GREEDY)])
    assert told == [(2, 4), (3, 4), (4, 4), (4, 5), (5, 5)]


def test_lm_eval_takes_it_and_its_model_keeps_its_hook(tmp_path: Path) -> None:
    from lm_eval.api.model import LM

    model = Model()
    with JournaledLM(model, Journal(tmp_path)) as lm:
        assert isinstance(lm, LM)
        assert lm.tells
        assert model.cache_hook is lm
    assert str(model.cache_hook) == "lm-eval's own"
