"""A run against a saved baseline, item by item: may the two be compared, and did anything become worse?

`baseline` saves, `comparability` refuses, `decision` judges (pure), `check` puts them together.

Never here: training, scoring, a statistic of its own (`comparison`).
"""
