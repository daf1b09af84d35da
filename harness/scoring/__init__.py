"""Scoring through lm-eval as a library: the only importer of lm_eval.

`validate_benchmarks`, `datasets_of` and `task_fingerprint` serve planning; `load_lm`, `score_benchmark` and
`score_with_journal` score. lm-eval itself (nine seconds of import) is imported inside the functions that need
it.
"""

from harness.scoring.catalogue import datasets_of
from harness.scoring.fingerprint import task_fingerprint
from harness.scoring.model import LoadedLM, load_lm
from harness.scoring.options import DatasetRef, Execution, ScoringOptions
from harness.scoring.score import Scored, score_benchmark, score_with_journal
from harness.scoring.validation import validate_benchmarks

__all__ = [
    "DatasetRef",
    "Execution",
    "LoadedLM",
    "Scored",
    "ScoringOptions",
    "datasets_of",
    "load_lm",
    "score_benchmark",
    "score_with_journal",
    "task_fingerprint",
    "validate_benchmarks",
]
