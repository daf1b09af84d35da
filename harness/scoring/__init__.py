"""Scoring of models on benchmarks, with lm-eval as a library; no other package imports lm_eval.

`validate_benchmarks`, `datasets_of`, `describe_tasks` and `task_fingerprint` are for
planning a run; `load_lm` and `score_with_journal` score a model. lm-eval takes nine seconds
to import, so it is imported inside the functions that need it.

Never here: a statistic (`comparison`), a model-written program that runs outside `sandbox`.
"""

from harness.data.mirror import DatasetRef
from harness.scoring.availability import how_executed
from harness.scoring.benchmark_checks import validate_benchmarks
from harness.scoring.catalogue import datasets_of
from harness.scoring.fingerprint import task_fingerprint
from harness.scoring.model_backends import LoadedLM, load_lm
from harness.scoring.options import Execution, ScoringOptions
from harness.scoring.score import Scored, score_with_journal
from harness.scoring.tasks import TaskDescription, describe_tasks

__all__ = [
    "DatasetRef",
    "Execution",
    "LoadedLM",
    "Scored",
    "ScoringOptions",
    "TaskDescription",
    "datasets_of",
    "describe_tasks",
    "how_executed",
    "load_lm",
    "score_with_journal",
    "task_fingerprint",
    "validate_benchmarks",
]
