"""Runs in MLflow: synced from their files on disk, and served; no other room imports mlflow.

The files on disk are authoritative. `sync_run` may be repeated at any time and after any failure: the result
is one parent run and one child per model, without duplicates, with the current contents of `run.json`.

Never here: computing a score; data that exist only in MLflow.
"""

from harness.tracking.links import TrackingLinks
from harness.tracking.sync import sync_run

__all__ = ["TrackingLinks", "sync_run"]
