"""What a reader of a run should know beside its numbers, one sentence each."""

from collections.abc import Iterator, Mapping, Sequence

from harness.formats import number
from harness.preset import departures
from harness.results import BenchmarkEntry
from harness.suite import FusionSpec


def run_notes(
    fusion: FusionSpec,
    coverage: Mapping[str, Mapping[str, float]],
    benchmarks: Sequence[BenchmarkEntry],
    fallbacks: Mapping[str, str],
) -> tuple[str, ...]:
    """Of the method, the sources, the benchmarks and how models were read; `coverage` is the record's,
    `fallbacks` says of models that were not read the fastest way why not."""
    return (
        *_method_notes(fusion),
        *_source_notes(coverage),
        *_execution_notes(benchmarks),
        *_reading_notes(fallbacks),
    )


def _method_notes(fusion: FusionSpec) -> Iterator[str]:
    found = departures(fusion.model_dump(mode="json"))
    if found:
        listed = ", ".join(f"{key} is {own}, not {preset}" for key, (own, preset) in found.items())
        yield f"fusion.paper is {fusion.paper}, but these keys differ: {listed}."


def _source_notes(coverage: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    for source, shares in coverage.items():
        percent = shares.get("by_offsets", 0.0)
        if percent > 0:
            yield (
                f"{source}: {_share(percent)} of the windows are not what the tokens spell (its tokenizer or "
                "the target's changes the text, such as its case). There a token's end is taken from its "
                "character offsets; em and mined still compare the tokens' own bytes."
            )


def _share(percent: float) -> str:
    text = number(percent)
    return f"{text} %" if float(text) else f"less than {number(0.1)} %"


def _execution_notes(benchmarks: Sequence[BenchmarkEntry]) -> Iterator[str]:
    refused = [b.name for b in benchmarks if b.executed == "refused"]
    limited = [b.name for b in benchmarks if b.executed == "subprocess"]
    if refused:
        yield (
            f"Model-written code was not run ({', '.join(refused)}): only bits per byte of the reference "
            "solution is shown. Pass --unsafe-no-sandbox to run it in a limited, not isolated, subprocess."
        )
    if limited:
        yield f"Model-written code ran in a limited, not isolated, subprocess ({', '.join(limited)})."


def _reading_notes(fallbacks: Mapping[str, str]) -> Iterator[str]:
    for model, reason in fallbacks.items():
        yield f"{model} was scored more slowly than it could be, with the same numbers: it {reason}."
