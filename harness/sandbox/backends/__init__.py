"""Sandbox backends: bubblewrap, Landlock, or no sandbox on request; `selection` picks the best that works.

A backend is accepted only if a probe job cannot escape from it. All of them implement `base.Backend`, the
interface that the executor uses.

Never here: what a program means or whether it is right.
"""
