"""Datasets of a suite's benchmarks: required, missing, and fetched before a run."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.exceptions import InputError
from harness.data.mirror import LAYOUT, DatasetRef, missing_datasets, network
from harness.suite.spec import Suite

if TYPE_CHECKING:
    from harness.scoring import ScoringOptions


def prepare_datasets(suite: Suite, options: "ScoringOptions") -> list[str]:
    """Fetch every benchmark's data and a hub corpus: in the mirror if one is named, else the hub's cache.

    What the mirror lacks is written into it. Returns what was, as sentences. Raises InputError that names all
    that is missing still.
    """
    mirror, wanted = options.mirror, list(dict.fromkeys(_wanted(suite, options)))
    written: list[str] = []
    if mirror:
        written, problems = _fill(mirror, wanted, options)
    else:
        problems = [error.message for error in missing_datasets(wanted, options).values()]
    if problems:
        place = f"add them to the mirror {mirror}" if mirror else "give a mirror with --mirror"
        raise InputError(
            "\n".join([*written, "data sets that cannot be read:", *(f"  - {p}" for p in problems)]),
            remedy=f"run `prepare` where the hub can be reached, or {place} ({LAYOUT})",
        )
    return written


def _wanted(suite: Suite, options: "ScoringOptions") -> Iterable[DatasetRef]:
    from harness.scoring import datasets_of

    for benchmark in (b for rows in suite.benchmarks.values() for b in rows):
        yield from datasets_of(benchmark, options)
    if suite.corpus.kind == "hub" and suite.corpus.dataset:
        yield DatasetRef(suite.corpus.dataset, suite.corpus.config)


def _fill(
    mirror: Path, wanted: Iterable[DatasetRef], options: "ScoringOptions"
) -> tuple[list[str], list[str]]:
    from harness.data.mirror_filling import fill_mirror

    with network(options):
        return fill_mirror(mirror, [ref for ref in wanted if ref.found(mirror) is None])
