"""Allowed values of the method's choices that have a fixed list; `fusion.method` says what each one means.

Two defaults are defined here because functions that `fusion.method` builds on have them as well.
"""

from typing import Literal

MAX_TOP_K = 256

Compare = Literal["bytes", "spelling"]
NextToken = Literal["text", "vocabulary"]
Duplicates = Literal["add", "first"]
AvgceWeights = Literal["softmax", "release"]
Granularity = Literal["document", "window", "token"]
Quality = Literal["bits_per_byte", "cross_entropy"]
Schedule = Literal["linear", "cosine"]
Loss = Literal["ce", "kl"]
Leftover = Literal["residual", "renormalise"]
WithoutTeacher = Literal["gold", "mask", "current"]

DEFAULT_DUPLICATES: Duplicates = "add"
DEFAULT_AVGCE_WEIGHTS: AvgceWeights = "softmax"
