"""The stages `scoring`: one for each model and benchmark, so that a killed run can resume."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.pipeline.stage import Context
from harness.pipeline.store import Draft
from harness.suite.spec import BenchmarkSpec

if TYPE_CHECKING:
    from harness.scoring import ScoringOptions


def score(
    draft: Draft,
    context: Context,
    *,
    model: Callable[[Context], Path],
    bos: bool | None,
    benchmark: BenchmarkSpec,
    options: "ScoringOptions",
) -> None:
    """Write the items of one model on one benchmark. A killed attempt resumes from the answers it had."""
    from harness.core.run_files import write_items
    from harness.scoring import how_executed, load_lm, score_with_journal

    context.report(benchmark.name, 0, 1)
    loaded = load_lm(model(context), options, bos=bos)
    before = loaded.tokens_read
    scored = score_with_journal(
        benchmark,
        loaded,
        options,
        journal=_journal(draft, context),
        report=partial(context.report, benchmark.name),
    )
    write_items(draft.folder / "items.parquet", scored.items)
    draft.facts |= {
        "items": len(scored.items),
        "answers_reused": scored.answers_reused,
        "answers_computed": scored.answers_computed,
        "backend": options.backend,
        "strategy": loaded.strategy,
        "fallback": loaded.fallback,
        "tokens_read": None if before is None else (loaded.tokens_read or 0) - before,
        "execution": how_executed(benchmark, options),
    }


def _journal(draft: Draft, context: Context) -> Path:
    """The folder in which answers are kept until the stage is finished.

    The scratch folder belongs to the stage's key, which depends on how the model was made, not on its
    weights. A model that is fetched or trained again may have other weights, so their fingerprint names the
    subfolder.
    """
    (model,) = context.inputs.values()
    return draft.scratch / str(model.facts["fingerprint"])
