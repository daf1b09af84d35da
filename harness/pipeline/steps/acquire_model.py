"""The stage `model`: a model is fetched, made, or used in place."""

from pathlib import Path

from harness.data.model_files import model_facts
from harness.pipeline.stage import Context
from harness.pipeline.store import Draft
from harness.suite.spec import ModelSpec


def acquire(draft: Draft, context: Context, *, spec: ModelSpec, folder: Path, offline: bool) -> None:
    """Fetch or make a model that is not a local folder."""
    from harness.data.model_files import acquire_model

    context.report(f"getting {spec.name}", 0, 1)
    acquire_model(spec, folder, draft.folder / "model", offline=offline)
    draft.facts |= model_facts(draft.folder / "model")


def use_in_place(draft: Draft, context: Context, *, local: Path) -> None:  # noqa: ARG001
    """Record a local model's fingerprint and size; its files are not copied."""
    draft.facts |= model_facts(local)
