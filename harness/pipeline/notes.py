"""Notes of a run, which the report shows: trainings, method, sources, and how benchmarks were run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from harness.core.formats import listed, number
from harness.core.record import AVERAGE, NO_TOOLCHAIN, BenchmarkEntry, Comparison, Role
from harness.suite.shorthand import departures
from harness.suite.spec import FusionSpec

_EXECUTED = {  # how model-written code was run -> the note about it
    "refused": (
        "Model-written code was not run ({names}) because no sandbox works on that machine; only bits per "
        "byte of the reference solution is shown. `fusegauge doctor` says what is missing; "
        "--unsafe-no-sandbox runs it in a limited, not isolated, subprocess."
    ),
    "reduced": (
        "Model-written code ran in a reduced sandbox ({names}): confined by Landlock and seccomp, without "
        "namespaces of its own (docs/security.md)."
    ),
    "subprocess": "Model-written code ran in a limited, not isolated, subprocess ({names}).",
}
SINGLE = 1.96  # standard deviations within which 95 % of single trainings lie


def run_notes(
    fusion: FusionSpec,
    coverage: Mapping[str, Mapping[str, float]],
    benchmarks: Sequence[BenchmarkEntry],
    fallbacks: Mapping[str, str],
) -> tuple[str, ...]:
    """Notes about the method, the sources, the benchmarks and how models were read.

    `coverage` is the record's; `fallbacks`: model -> the reason why it was not read the fastest way.
    """
    return (
        *_method_notes(fusion),
        *_source_notes(coverage),
        *_execution_notes(benchmarks),
        *_toolchain_notes(benchmarks),
        *_reading_notes(fallbacks),
    )


def trainings_notes(comparison: Comparison) -> Iterator[str]:
    """A note that there was one training only, or notes on the spread between several."""
    differences = [d for row in comparison.rows for d in row.differences]
    if comparison.trainings > 1:
        yield from _spread_note(comparison)
    elif differences:
        yield (
            "Fused and control were trained once each. Intervals and tests cover the choice of items only; "
            "how much another random seed would change the differences is not known, so this run alone does "
            "not support a claim about the method. With seeds: 3 in the suite, the spread between seeds is "
            "measured and included in intervals and tests."
        )


def _spread_note(comparison: Comparison) -> Iterator[str]:
    judged = [
        (row, d)
        for row in comparison.rows
        if row.benchmark == AVERAGE and row.unit == "%"
        for d in row.differences
        if d.role is Role.CONTROL and d.between is not None
    ]
    if judged:
        spreads = listed([f"{number(d.between or 0.0)} on {row.capability}" for row, d in judged])
        yield (
            f"Fused and control were trained {comparison.trainings} times each; scores are means. The "
            f"standard deviation of the lead over the control between trainings, in points, is {spreads}."
        )
    alone = [row.capability for row, d in judged if abs(d.difference) < SINGLE * (d.between or 0.0)]
    if alone:
        yield (
            f"A single training does not support a claim on {listed(alone)}: the lead is less than "
            f"{SINGLE:g} standard deviations between trainings, so a single training may show the opposite."
        )


def _method_notes(fusion: FusionSpec) -> Iterator[str]:
    found = departures(asdict(fusion))
    if found:
        listed = ", ".join(f"{key} is {own}, not {preset}" for key, (own, preset) in found.items())
        yield f"fusion.paper is {fusion.paper}, but these keys differ from it: {listed}."


def _source_notes(coverage: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    for source, shares in coverage.items():
        percent = shares.get("by_offsets", 0.0)
        if percent > 0:
            yield (
                f"{source}: in {_share(percent)} of the windows the tokens do not spell the text, because "
                "its tokenizer or the target's changes the text (to lower case, for example). There, a "
                "token's end is taken from its character offsets; em and mined still compare the tokens' own "
                "bytes."
            )


def _share(percent: float) -> str:
    text = number(percent)
    return f"{text} %" if float(text) else f"less than {number(0.1)} %"


def _execution_notes(benchmarks: Sequence[BenchmarkEntry]) -> Iterator[str]:
    for mode, note in _EXECUTED.items():
        if names := ", ".join(b.name for b in benchmarks if b.executed == mode):
            yield note.format(names=names)


def _reading_notes(fallbacks: Mapping[str, str]) -> Iterator[str]:
    for model, reason in fallbacks.items():
        yield f"{model} was scored by a slower method with the same results: it {reason}."


def _toolchain_notes(benchmarks: Sequence[BenchmarkEntry]) -> Iterator[str]:
    """One note per capability with missing toolchains: what is not scored, and what the average covers."""
    for capability in dict.fromkeys(b.capability for b in benchmarks):
        group = [b for b in benchmarks if b.capability == capability]
        missing = {b.name: b.executed.removeprefix(NO_TOOLCHAIN) for b in group if _lacks_language(b)}
        if missing:
            named = [f"{name} ({language})" for name, language in missing.items()]
            covered = [b.name for b in group if not _lacks_language(b) and b.executed != "refused"]
            yield (
                f"Not scored, because the language's toolchain is missing: {listed(named)}. The average of "
                f"{capability} covers {listed(covered) or 'nothing'}. `fusegauge doctor` says how to install "
                "what is missing."
            )


def _lacks_language(benchmark: BenchmarkEntry) -> bool:
    return benchmark.executed.startswith(NO_TOOLCHAIN)
