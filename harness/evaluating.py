"""The scoring stages: every model answers every benchmark, one stage each, so that a killed run resumes."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.settings import Settings
from harness.stages import Context
from harness.store import Draft
from harness.suite import BenchmarkSpec, LoadedSuite, bundled_folder

if TYPE_CHECKING:
    from harness.scoring import ScoringOptions
    from harness.scoring.options import Execution

CODE = (
    *(f"harness.scoring.{m}" for m in ("execution", "gold", "judging", "mirror", "model")),
    *(f"harness.scoring.{m}" for m in ("samples", "score", "tasks")),
    *(f"harness.sandbox.{m}" for m in ("candidate", "code_eval", "examiner", "nonce", "plain_data")),
    *(f"harness.sandbox.{m}" for m in ("programs", "python_program")),
)

# They do not decide the numbers, or (execution, the data behind a mirror) are in the tasks' fingerprint.
_NOT_COUNTED = ("mirror", "offline", "task_folders", "batch_size", "device", "execution")


def scoring_options(loaded: LoadedSuite, settings: Settings) -> "ScoringOptions":
    """How this suite scores. Without a sandbox, code runs unasked only where we ship the models."""
    from harness.scoring import ScoringOptions

    spec = loaded.suite.scoring
    return ScoringOptions(
        mirror=settings.mirror,
        offline=settings.offline,
        device=spec.device,
        dtype=spec.dtype,
        batch_size=spec.batch_size,
        seed=spec.seed,
        execution=execution(unconfined=settings.unsafe_no_sandbox or is_micro(loaded)),
        task_folders=(bundled_folder() / "tasks", loaded.folder / "tasks"),
        bits_per_byte=spec.bits_per_byte,
    )


def execution(*, unconfined: bool) -> "Execution":
    """How model-written code is run here: in the best sandbox; where there is none, `unconfined` or not."""
    from harness.sandbox import confining

    if backend := confining():
        return backend.mode
    return "subprocess" if unconfined else "refused"


def is_micro(loaded: LoadedSuite) -> bool:
    """Whether every model that writes code is one that this project ships (or one trained from it)."""
    from harness.acquire import local_model_folder

    shipped = bundled_folder() / "micro" / "models"
    folders = [local_model_folder(m, loaded.folder) for m in (loaded.suite.target, *loaded.suite.sources)]
    return all(f is not None and f.resolve().is_relative_to(shipped.resolve()) for f in folders)


def counted_options(options: "ScoringOptions") -> dict[str, Any]:
    """The options that decide the numbers, for a stage's key."""
    return {k: str(v) for k, v in asdict(options).items() if k not in _NOT_COUNTED}


def fingerprint(benchmark: BenchmarkSpec, options: "ScoringOptions") -> str:
    """Hash of the benchmark's tasks, data, few-shot and seed."""
    from harness.scoring import task_fingerprint

    return task_fingerprint(benchmark, options)


def score(
    draft: Draft,
    context: Context,
    *,
    model: Callable[[Context], Path],
    bos: bool | None,
    benchmark: BenchmarkSpec,
    options: "ScoringOptions",
) -> None:
    """One model on one benchmark: its items."""
    from harness.items import write_items
    from harness.scoring import how_executed, load_lm, score_benchmark

    context.report(benchmark.name, 0, 1)
    items = score_benchmark(benchmark, load_lm(model(context), options, bos=bos), options)
    write_items(draft.folder / "items.parquet", items)
    draft.facts |= {"items": len(items), "execution": how_executed(benchmark, options)}
