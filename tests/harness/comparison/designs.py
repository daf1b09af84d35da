"""Designs of items for the tests of the statistics."""

import numpy as np

from harness.comparison.statistics import Design


def plain(n: int) -> Design:
    """n items of one kind that share nothing."""
    return Design(("",) * n, np.ones(n))
