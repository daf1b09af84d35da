"""A suite as stages: what each depends on, its key, the store of outputs, plan, costs, the run's record.

A stage's output is in the store under a hash of everything that decides it, so that a run continues where it
stopped and repeats only what changed. `graph` builds the stages, `runner` runs them, `run_record` collects
results.

Never here: arithmetic of the method (`fusion`), layout for the terminal (`report`, `console`).
"""
