"""MLflow: a run on disk is written there, and found there again. The only importer of mlflow.

Results on disk are the truth. `sync_run` may be repeated at any time and after any failure: it ends with one
parent run and one child per model, never with duplicates, and it shows what `run.json` says now.
"""

from harness.tracking.links import TrackingLinks
from harness.tracking.sync import sync_run

__all__ = ["TrackingLinks", "sync_run"]
