"""The scoring stages: every model answers every benchmark, one stage each, so that a killed run resumes."""

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
    """One model on one benchmark: its items. An attempt that was killed goes on from the answers it had."""
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
    """Where the answers of this stage are kept until it is finished.

    The scratch folder is this key's, and the key holds what the model was made from; a model that is fetched
    or trained again under its key may have other weights all the same, so these name the folder within.
    """
    (model,) = context.inputs.values()
    return draft.scratch / str(model.facts["fingerprint"])
