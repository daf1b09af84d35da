"""The regression check: a run compared item by item with a saved baseline.

`baseline` saves, `comparability` refuses runs that cannot be compared, `decision` judges (pure), `check`
combines them.

Never here: training, scoring, statistics of its own (`comparison`).
"""
