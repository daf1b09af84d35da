"""A run in MLflow: sent there from its files on disk, and served; no other room imports mlflow.

Results on disk are the truth. `sync_run` may be repeated at any time and after any failure: it ends with one
parent run and one child per model, never with duplicates, and it shows what `run.json` says now.

Never here: computing a score; anything that only MLflow knows.
"""

from harness.tracking.links import TrackingLinks
from harness.tracking.sync import sync_run

__all__ = ["TrackingLinks", "sync_run"]
