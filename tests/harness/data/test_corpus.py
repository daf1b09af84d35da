"""Corpora: what each kind reads, how limits choose, and what a missing or odd input gets."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.exceptions import InputError
from harness.data.corpus import Document, Documents, _limited_bytes, content_fingerprint, load_documents
from harness.suite.spec import CorpusSpec


def load(spec: CorpusSpec, folder: Path, mirror: Path | None = None) -> Documents:
    return load_documents(spec, folder, mirror=mirror, offline=True)


def write_jsonl(path: Path, texts: list[str], column: str = "text") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({column: text}) + "\n" for text in texts), encoding="utf-8")
    return path


# --- files -----------------------------------------------------------------------------------------------


def test_every_format_gives_its_documents_and_the_part_is_the_file(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "lines.jsonl", ["one", "  ", "zwei ä"])
    (tmp_path / "plain.txt").write_text("three\nfour")
    pq.write_table(pa.table({"text": ["five"], "other": [1]}), tmp_path / "table.parquet")
    found = load(CorpusSpec(kind="files", files=("*.jsonl", "plain.txt", "table.parquet")), tmp_path)
    assert sorted(zip(found.texts, found.parts, strict=True)) == [
        ("five", "table"),
        ("one", "lines"),
        ("three\nfour", "plain"),
        ("zwei ä", "lines"),
    ]


def test_a_file_that_two_patterns_mean_is_read_once(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", ["one"])
    assert load(CorpusSpec(kind="files", files=("a.jsonl", "*.jsonl")), tmp_path).texts == ("one",)


def test_files_beside_the_suite_win_over_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jsonl(tmp_path / "suite/a.jsonl", ["suite"])
    write_jsonl(tmp_path / "here/a.jsonl", ["here"])
    write_jsonl(tmp_path / "here/b.jsonl", ["only here"])
    monkeypatch.chdir(tmp_path / "here")
    spec = CorpusSpec(kind="files", files=("a.jsonl", "b.jsonl"))
    assert set(load(spec, tmp_path / "suite").texts) == {"suite", "only here"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"txt": "x"}\n', r"line 1: no column 'text' \(did you mean 'txt'\?\)"),
        ("a.jsonl", b'{"text": 3}\n', "holds int, not text"),
        ("a.jsonl", b'{"text": "x"}\nnonsense\n', "line 2: not JSON"),
        ("a.jsonl", b"[1]\n", "list where an object is expected"),
        ("a.jsonl", b'{"text": "\xff"}\n', "is not UTF-8"),
        ("a.json", b"{}", r"no reader for .json \(did you mean '.jsonl'\?\)"),
        ("a.txt", b" \n", "has no documents"),
    ],
)
def test_unusable_files_say_where_and_why(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load(CorpusSpec(kind="files", files=(name,)), tmp_path)
    assert caught.value.exit_code == 2


def test_a_parquet_file_without_the_column_names_what_is_there(tmp_path: Path) -> None:
    pq.write_table(pa.table({"content": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"no column 'text'.*there are content"):
        load(CorpusSpec(kind="files", files=("a.parquet",)), tmp_path)


def test_all_missing_files_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file matches a\.txt, b/\*\.txt"):
        load(CorpusSpec(kind="files", files=("a.txt", "b/*.txt")), tmp_path)


# --- limits ----------------------------------------------------------------------------------------------


def test_a_documents_limit_is_a_seeded_sample_and_not_the_first(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [f"text {i}" for i in range(200)])

    def chosen(documents: int, seed: int) -> tuple[str, ...]:
        return load(
            CorpusSpec(kind="files", files=("a.jsonl",), documents=documents, seed=seed), tmp_path
        ).texts

    assert chosen(20, 0) == chosen(20, 0)
    assert chosen(20, 0) != chosen(20, 1)
    assert set(chosen(20, 0)) != {f"text {i}" for i in range(20)}
    assert chosen(50, 0)[:20] == chosen(20, 0)  # more documents add to fewer


@settings(max_examples=60)
@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1), st.integers(1, 200))
def test_max_bytes_is_kept_and_no_character_is_torn(texts: list[str], limit: int) -> None:
    candidates = [Document(str(i), "p", text) for i, text in enumerate(texts)]
    chosen = _limited_bytes(candidates, CorpusSpec(kind="python", max_bytes=limit))
    total = sum(len(c.text.encode()) for c in chosen)
    assert total <= limit
    assert all(c.text == texts[i] for i, c in enumerate(chosen[:-1]))
    assert not chosen or texts[len(chosen) - 1].startswith(chosen[-1].text)
    if total == sum(len(t.encode()) for t in texts):
        assert [c.text for c in chosen] == texts


def test_the_document_that_does_not_fit_is_cut_at_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("first line\nsecond line\nthird")
    found = load(CorpusSpec(kind="files", files=("a.txt",), max_bytes=25), tmp_path)
    assert found.texts == (
        "first line\nsecond line\n",
    )  # 11 + 12 bytes; 'th' would fit, a whole line does not


# --- the other kinds -------------------------------------------------------------------------------------


def test_python_gives_sources_and_topics_and_no_tests() -> None:
    found = load(CorpusSpec(kind="python"), Path())
    pairs = list(zip(found.texts, found.parts, strict=True))
    by_part = {part: [text for text, its in pairs if its == part] for part in set(found.parts)}
    assert set(by_part) == {"code", "text"}
    assert any("class JSONDecoder" in text for text in by_part["code"])
    assert any("assert" in text.lower() for text in by_part["text"])
    assert not any("class TestCase_" in text or "import test.support" in text for text in by_part["code"])


def test_python_is_the_same_on_every_call_and_limits_choose_by_seed() -> None:
    spec = CorpusSpec(kind="python", max_bytes=50_000)
    assert load(spec, Path()) == load(spec, Path())
    assert load(spec, Path()) != load(spec.model_copy(update={"seed": 1}), Path())


def test_generated_gives_exactly_the_documents_asked_for_with_their_capability() -> None:
    found = load(CorpusSpec(kind="generated", generator="micro", documents=30), Path())
    assert len(found.texts) == len(found.parts) == 30
    assert set(found.parts) == {"reasoning", "commonsense", "code"}


@pytest.mark.parametrize("config", [None, "en"])
def test_a_hub_corpus_is_read_from_the_mirror(tmp_path: Path, config: str | None) -> None:
    write_jsonl(tmp_path / "owner/texts" / (config or "") / "train.jsonl", ["one", "two"], "content")
    spec = CorpusSpec(kind="hub", dataset="owner/texts", config=config, column="content")
    found = load(spec, Path(), mirror=tmp_path)
    assert sorted(found.texts) == ["one", "two"]
    assert set(found.parts) == {"owner/texts"}


def test_a_hub_corpus_that_is_nowhere_names_both_remedies(tmp_path: Path) -> None:
    spec = CorpusSpec(kind="hub", dataset="no-such-owner/no-such-texts", config="en")
    with pytest.raises(InputError) as caught:
        load(spec, Path(), mirror=tmp_path)
    assert "no-such-owner/no-such-texts (en)" in caught.value.message
    assert "prepare" in caught.value.remedy
    assert "no-such-owner/no-such-texts/en/" in caught.value.message


# --- fingerprints ----------------------------------------------------------------------------------------


def test_the_fingerprint_follows_the_files_contents(tmp_path: Path) -> None:
    spec = CorpusSpec(kind="files", files=("*.jsonl",))
    write_jsonl(tmp_path / "a.jsonl", ["one"])
    before = content_fingerprint(spec, tmp_path, mirror=None)
    assert content_fingerprint(spec, tmp_path, mirror=None) == before
    write_jsonl(tmp_path / "a.jsonl", ["two"])
    assert content_fingerprint(spec, tmp_path, mirror=None) != before


def test_the_fingerprint_tells_hub_from_mirror(tmp_path: Path) -> None:
    spec = CorpusSpec(kind="hub", dataset="owner/texts", config="en")
    write_jsonl(tmp_path / "owner/texts/en/train.jsonl", ["one"])
    assert content_fingerprint(spec, Path(), mirror=None) != content_fingerprint(
        spec, Path(), mirror=tmp_path
    )
