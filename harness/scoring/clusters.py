"""Which documents ask about the same text: their answers stand and fall together."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

# of DROP and BoolQ, of SQuAD and its kin, of CoQA, of RACE
PASSAGES = ("passage", "context", "story", "article")


def cluster_of(doc: Any) -> str | None:
    """A hash of the passage that a document asks about; None where it has none.

    A passage that a single document asks about makes a cluster of one, which changes nothing.
    """
    columns = doc if isinstance(doc, Mapping) else {}
    texts = (columns.get(name) for name in PASSAGES)
    passage = next((text for text in texts if isinstance(text, str) and text.strip()), None)
    return None if passage is None else sha256(passage.encode()).hexdigest()[:20]
