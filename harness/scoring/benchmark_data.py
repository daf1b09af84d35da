"""Data of a suite's benchmarks: which are needed, which are missing, fetched ahead of a run."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.exceptions import InputError
from harness.suite.spec import Suite

if TYPE_CHECKING:
    from harness.scoring import ScoringOptions


def prepare_datasets(suite: Suite, options: "ScoringOptions") -> list[str]:
    """Have every benchmark's data and a hub corpus here: in the mirror if one is named, else the hub's cache.

    What the mirror lacks is written into it. Returns what was, as sentences. Raises InputError that names all
    that is missing still.
    """
    mirror, wanted = options.mirror, list(dict.fromkeys(_wanted(suite, options)))
    written: list[str] = []
    if mirror:
        written, problems = _fill(mirror, wanted, options)
    else:
        problems = [p for path, name in wanted if (p := _dataset_problem(path, name, options))]
    if problems:
        place = f"add them to the mirror {mirror}" if mirror else "give a mirror with --mirror"
        raise InputError(
            "\n".join([*written, "data sets that cannot be read:", *(f"  - {p}" for p in problems)]),
            remedy=f"run `prepare` where the hub can be reached, or {place} "
            "(<owner>/<dataset>/<config>/<split>.jsonl)",
        )
    return written


def _wanted(suite: Suite, options: "ScoringOptions") -> Iterable[tuple[str, str | None]]:
    from harness.scoring import datasets_of

    for benchmark in (b for rows in suite.benchmarks.values() for b in rows):
        yield from ((reference.path, reference.name) for reference in datasets_of(benchmark, options))
    if suite.corpus.kind == "hub" and suite.corpus.dataset:
        yield suite.corpus.dataset, suite.corpus.config


def _fill(
    mirror: Path, wanted: Iterable[tuple[str, str | None]], options: "ScoringOptions"
) -> tuple[list[str], list[str]]:
    from harness.data.mirror import mirror_folder, network
    from harness.data.mirror_filling import fill_mirror
    from harness.scoring import DatasetRef

    with network(options):
        return fill_mirror(mirror, [w for w in wanted if mirror_folder(mirror, DatasetRef(*w)) is None])


def _dataset_problem(path: str, name: str | None, options: "ScoringOptions") -> str:
    """ "" where the data set can be read; loading it from the hub also fills the hub's cache."""
    import datasets

    from harness.data.mirror import redirected

    try:
        with redirected(options):
            datasets.load_dataset(path, name)
    except InputError as error:
        return error.message
    return ""
