"""Statistics over items, from what every model answered to the verdict.

`compare.compare` is the way in: items of all models -> rows with scores, differences, intervals and p-values.
What depends on random numbers takes a seed; equal items give equal results, bit for bit.

Never here: files, clocks, random state of the process, printing.
"""
