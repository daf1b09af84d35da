"""What the choices of the method may be, where that is a fixed list; `fusion.method` says what each means.

Two defaults stand here because functions below `Method` have them too.
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
