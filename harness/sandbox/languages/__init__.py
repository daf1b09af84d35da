"""Programming languages as data: how a program is compiled, run and proven to have reached its end.

`table` has one entry a language, `self_test` a right and a wrong program of each, `toolchains` what is
installed.

Never here: a benchmark's own conventions, which belong to its task.
"""
