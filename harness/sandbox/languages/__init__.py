"""Programming languages: how programs in each are compiled, run and judged.

`table` has an entry for each language, `self_test` a right and a wrong program in each, and `toolchains`
finds the installed compilers and interpreters.

Never here: a benchmark's own conventions, which belong to its task.
"""
