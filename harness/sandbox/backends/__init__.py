"""Ways to confine a job: bubblewrap, Landlock, or none on request; `selection` finds the best that works.

A backend is proven by a job that tries to get out. `base.Backend` is what the executor sees of any of them.

Never here: what a program means or whether it is right.
"""
