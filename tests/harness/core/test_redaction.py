"""Passwords in addresses: gone wherever they stand, and nothing else is touched."""

from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.exceptions import StageError, SuiteError
from harness.core.record import Comparison, Verdict
from harness.core.redaction import is_redacted, redact, redact_all
from harness.pipeline import run_record as record
from harness.suite.load import load_suite


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:secret@host:5000/a", "http://me:***@host:5000/a"),
        ("tracking.uri=mysql+pymysql://u:secret@h/db", "tracking.uri=mysql+pymysql://u:***@h/db"),
        ("postgresql://u:sec@ret@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:sec/ret@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:12/secret@h/db", "postgresql://u:***@h/db"),
        ("redis://:secret@h and http://a:secret@b.", "redis://:***@h and http://a:***@b."),
        ("postgresql://h/db?user=me&password=secret&x=1", "postgresql://h/db?user=me&password=***&x=1"),
    ],
)
def test_passwords_go_and_the_rest_stays(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown
    assert is_redacted(shown)


@pytest.mark.parametrize(
    "text",
    [
        "http://host:5000/#/experiments/1",
        "http://host:5000/users/me@example.org",
        "sqlite:////r s/mlflow.db",
        "http://me@host/",
        "owner/name@revision",
        "a: b@c",
        "see http://host:5000 or write to me@example.org",
    ],
)
def test_text_without_a_password_is_untouched(text: str) -> None:
    assert redact(text) == text
    assert not is_redacted(text)


def test_nested_values_keep_their_shape() -> None:
    value = {"uri": "http://a:secret@b", "list": ["http://a:secret@b", 3, None], "n": 0.5}
    assert redact_all(value) == {"uri": "http://a:***@b", "list": ["http://a:***@b", 3, None], "n": 0.5}


def test_no_error_speaks_a_password() -> None:
    assert "secret" not in str(StageError("no http://a:secret@b", remedy="try http://a:secret@c"))
    error = SuiteError("s", ["bad http://a:secret@b"])
    assert "secret" not in str(error) + str(error.mistakes)


def test_no_record_of_a_run_holds_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_suite("micro", ["tracking.uri=postgresql://me:secret@host/db"])
    nothing = Comparison(rows=(), confidence=0.95, verdict=Verdict(outcome="no change", sentence=""))
    monkeypatch.setattr(record, "compare", lambda *_: nothing)
    monkeypatch.setattr(record, "_benchmark_entries", lambda *_: [])
    pipeline = SimpleNamespace(participants=(), repeats=(), stages=(), scoring={}, trainings={})
    facts: dict[str, Any] = {"attribution": {}, "attribution_by_part": {}}
    outcomes = {"fusion": SimpleNamespace(entry=SimpleNamespace(facts=facts))}
    made = record.build_record("run", loaded, pipeline, outcomes, {})  # type: ignore[arg-type]
    assert made.suite["tracking"]["uri"] == "postgresql://me:***@host/db"
    assert made.overrides == ("tracking.uri=postgresql://me:***@host/db",)
    assert "secret" not in made.model_dump_json()
    assert loaded.suite.tracking.uri == "postgresql://me:secret@host/db"  # what is synced with
