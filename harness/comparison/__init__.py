"""Paired statistics over items: scores, differences, intervals, tests and the verdict.

The entry point is `compare.compare`: items of all models -> rows with scores, differences, intervals and
p-values. Everything random is seeded; equal items give bit-identical results.

Never here: files, clocks, the process-wide random state, printing.
"""
