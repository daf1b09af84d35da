"""Suites: from YAML text to a typed, frozen `Suite`, with every mistake reported at once.

`spec` has the types, `load.load_suite` reads one. Choices of the method and their defaults come from
`fusion`.

Never here: torch, models, data; files other than the suite's own.
"""
