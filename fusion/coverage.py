"""Coverage (how much of a source reaches the target) and attribution (which model each fused row came from).

R   rows of a block        W   windows of it        M   models
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusion.distributions import Distributions
    from fusion.projection import Projected
    from fusion.vocabulary import VocabularyMap


@dataclass
class _Part:
    """Sums over the rows of one part of the corpus."""

    rows: int = 0
    kept: int = 0
    mass: float = 0.0


@dataclass
class CoverageCount:
    """How much of one source reaches the target's rows: add blocks, then read `percent`."""

    parts: dict[str, _Part] = field(default_factory=lambda: defaultdict(_Part))
    aligned: int = 0
    agreeing: int = 0
    next_token: float = 0.0
    windows: int = 0
    by_offsets: int = 0

    def add(
        self,
        rows: "NDArray[np.int32]",
        ours: "Distributions",
        theirs: "Distributions",
        vocabulary: "VocabularyMap",
        projected: "Projected",
        parts: Sequence[str],
    ) -> None:
        """Count a block: aligned source `rows` [R], their projection, and each window's corpus part [W]."""
        mass = np.where(projected.kept, 1.0 - projected.leftover.astype(np.float64), 0.0)
        part_of_row = np.repeat(np.array(parts, dtype=object), np.diff(ours.windows))
        for part in dict.fromkeys(parts):
            here = part_of_row == part
            sums = self.parts[part]
            sums.rows += int(here.sum())
            sums.kept += int(projected.kept[here].sum())
            sums.mass += float(mass[here].sum())
        aligned = np.flatnonzero(rows >= 0)
        same = vocabulary.target_ids[theirs.gold[rows[aligned]]] == ours.gold[aligned]
        self.aligned += len(aligned)
        self.agreeing += int(same.sum())
        came = projected.ids == ours.gold[:, None]
        self.next_token += float((projected.probabilities * came).sum(dtype=np.float64))
        self.windows += len(ours.closed)
        self.by_offsets += int((~(ours.exact & theirs.exact)).sum())

    def percent(self) -> dict[str, float]:
        """Each count as a percentage, by name.

        positions: target rows that have a distribution from the source, of all target rows.
        mass: probability left on those rows after top-k and the vocabulary map; like positions, for the whole
            corpus and by part.
        agreement: aligned rows where the source's next token maps to the target's next token (after the same
            text the two may split what follows differently).
        next_token: probability that the projected source gives to the target's ground-truth token.
        by_offsets: windows whose tokens do not reproduce the text because the tokenizer changes it; their end
            bytes come from character offsets.
        """
        rows, kept, mass = (sum(getattr(p, name) for p in self.parts.values()) for name in _SUMS)
        found = {
            "positions": _percent(kept, rows),
            "mass": _percent(mass, kept),
            "agreement": _percent(self.agreeing, self.aligned),
            "next_token": _percent(self.next_token, kept),
            "by_offsets": _percent(self.by_offsets, self.windows),
        }
        for part in sorted(self.parts):
            sums = self.parts[part]
            found[f"positions.{part}"] = _percent(sums.kept, sums.rows)
            found[f"mass.{part}"] = _percent(sums.mass, sums.kept)
        return found


_SUMS = ("rows", "kept", "mass")


@dataclass
class AttributionCount:
    """How many fused rows of each document came from each model."""

    names: Sequence[str]
    taught: dict[tuple[int, str], "NDArray[np.int64]"] = field(default_factory=dict)
    share: "NDArray[np.float64] | None" = None
    rows: int = 0

    def add(
        self,
        winner: "NDArray[np.int8]",
        share: "NDArray[np.float64]",
        windows: Iterable[tuple[int, str]],
        offsets: "NDArray[np.int64]",
    ) -> None:
        """Count a block: winner of each row [R] (-1: none), mean weights [M], windows' (document, part)."""
        kept = int((winner >= 0).sum())
        total = np.zeros(len(self.names)) if self.share is None else self.share
        self.share = total + share * kept
        self.rows += len(winner)
        for number, place in enumerate(windows):
            found = winner[offsets[number] : offsets[number + 1]]
            counts = np.bincount(found[found >= 0], minlength=len(self.names)).astype(np.int64)
            self.taught[place] = self.taught.get(place, 0) + counts

    def by_document(self) -> dict[str, list[Any]]:
        """Columns of a table: document, its corpus part, model, rows that came from the model."""
        lines = [
            (document, part, name, int(count))
            for (document, part), counts in self.taught.items()
            for name, count in zip(self.names, counts, strict=True)
        ]
        columns = zip(*lines, strict=True) if lines else ((), (), (), ())
        return dict(zip(("document", "part", "model", "rows"), map(list, columns), strict=True))

    def percent(self) -> dict[str, Any]:
        """Percent of the fused rows that came from each model: in all, by corpus part, and as mean weights.

        Under AvgCE a row counts for the model with the largest weight, while mean weights count each model's
        share of it. MinCE's weights are 0 and 1, so there the two are equal.
        """
        parts: dict[str, NDArray[np.int64]] = {}
        for (_, part), counts in self.taught.items():
            parts[part] = parts.get(part, 0) + counts
        kept = int(sum(counts.sum() for counts in parts.values()))
        share = np.zeros(len(self.names)) if self.share is None else self.share
        return {
            "attribution": self._named(sum(parts.values(), np.zeros(len(self.names), np.int64))),
            "attribution_by_part": {p: self._named(c) for p, c in sorted(parts.items()) if c.sum()},
            "mean_weight": {n: _percent(s, kept) for n, s in zip(self.names, share, strict=True)},
            "taught_percent": _percent(kept, self.rows),
        }

    def _named(self, counts: "NDArray[np.int64]") -> Mapping[str, float]:
        total = int(counts.sum())
        return {n: _percent(c, total) for n, c in zip(self.names, counts, strict=True)}


def _percent(part: float, whole: float) -> float:
    return 100 * float(part) / float(whole) if whole else 0.0
