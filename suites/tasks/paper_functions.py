"""What the YAML of the paper's further tasks refers to: scores of single documents."""

import re
from collections.abc import Mapping, Sequence
from math import isclose
from typing import Any

TOLERANCE = 0.05  # relative, as SciBench's own evaluation allows
_NUMBER = re.compile(r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def chrf(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """chrF of one translation (Popović 2015; sacrebleu's defaults), as a share of 1.

    BLEU of a single sentence is mostly zero: it needs a common run of four words.
    """
    from sacrebleu import sentence_chrf

    return {"chrf": sentence_chrf(results[0].strip(), [doc["translation"]["de"]]).score / 100}


def number_is_right(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Whether the last number of the answer is the problem's, within TOLERANCE."""
    found, wanted = last_number(results[0]), last_number(str(doc["answer_number"]))
    right = found is not None and wanted is not None and isclose(found, wanted, rel_tol=TOLERANCE)
    return {"acc": float(right)}


def last_number(text: str) -> float | None:
    """The last decimal number in a text (thousands may be set off by commas); None where there is none."""
    numbers = _NUMBER.findall(text)
    return float(numbers[-1].replace(",", "")) if numbers else None
