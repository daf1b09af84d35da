"""Every field of a suite says which stages' output it decides; the stages' keys are made from that."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest

from fusion.method import METHOD_HINTS
from harness.pipeline.graph import build_pipeline
from harness.suite.decides import marks, parameters
from harness.suite.load import load_suite
from harness.suite.run_options import RunOptions
from harness.suite.spec import BenchmarkSpec, CorpusSpec, FusionSpec, Suite


def sections(annotation: Any) -> Iterator[Any]:
    """The parts of a suite that a type holds."""
    if hasattr(annotation, "__pydantic_fields__"):
        yield annotation
    for argument in get_args(annotation):
        yield from sections(argument)


def fields(section: Any, path: str = "") -> Iterator[tuple[str, bool]]:
    """(dotted path, whether marked) of every field; a mark on a part counts for all that is in it."""
    for name, field in section.__pydantic_fields__.items():
        inner = list(sections(field.annotation))
        if name in marks(section) or not inner:
            yield f"{path}{name}", name in marks(section)
        for part in () if name in marks(section) else inner:
            yield from fields(part, f"{path}{name}.")


def test_no_field_is_forgotten() -> None:
    assert [path for path, marked in fields(Suite) if not marked] == []


def test_a_mark_names_a_stage_that_there_is() -> None:
    pipeline = build_pipeline(load_suite("micro"), RunOptions(offline=True))
    families = {stage.name.split(":")[0] for stage in pipeline.stages}
    parts = (Suite, *(p for f in Suite.__pydantic_fields__.values() for p in sections(f.annotation)))
    named = {stage for part in parts for mark in marks(part).values() for stage in mark.stages}
    assert named == families


def test_a_choice_of_the_method_decides_what_the_method_says() -> None:
    assert marks(FusionSpec).keys() >= METHOD_HINTS.keys()
    assert parameters("vocabulary", FusionSpec(compare="spelling")) == {
        "vocabulary": "em",
        "vocabulary_threshold": 0.34,
        "compare": "spelling",
    }


def test_parts_that_share_a_name_are_not_mixed() -> None:
    corpus = CorpusSpec(kind="python", seed=3)
    assert parameters("windows", FusionSpec(block_size=9), corpus) == {
        "block_size": 9,
        "seed": 3,
        "evaluation_fraction": 0.0,
    }
    benchmark = BenchmarkSpec(name="a", tasks=("t",), metrics=("acc",))
    with pytest.raises(KeyError, match="tasks"):
        parameters("scoring", benchmark, benchmark)
