"""Imports from the harness for the functions of task files, under names that stay when modules move.

The text of a task file is part of its benchmarks' fingerprint. If it named a module that moves, baselines
would no longer be comparable, although the questions are the same.
"""

from harness.data.micro.world import code_items, commonsense_items, reasoning_items
from harness.sandbox.languages.programs import Program
from harness.scoring.execution import judged

__all__ = ["Program", "code_items", "commonsense_items", "judged", "reasoning_items"]
