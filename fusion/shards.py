"""Distributions on disk: shards of consecutive windows, one memory-mapped .npy file per field, no padding.

    W   windows of the corpus       T   tokens of a shard       R   rows of a shard (its windows' tokens - 1)
    K   entries kept of each row    C   distinct tokens of a shard, top-k and input together

Layout, readable with `json` and `numpy.load(path, mmap_mode="r")` alone:

    store.json                 format, version, top_k, vocabulary_size, shards [[first window, end window]]
    windows.npy                int64 [W + 1]  rows of window w: windows[w] to windows[w + 1]
    token_offsets.npy          int64 [W + 1]  tokens of window w
    closed.npy, exact.npy      bool [W]       window ends with eos; its tokens' own bytes are its text
    shard-<first>-<end>/       one folder per shard, numbers of at least eight digits
        vocabulary.npy         int32 [C]      token id of each code, ascending
        codes.npy              uint16 [R, K]  tokens kept, most likely first; id = vocabulary[code]
        logprobs.npy           float16 [R, K] natural logarithms
        leftover.npy           float16 [R]    total probability of all other tokens
        gold_logprob.npy       float16 [R]    log-probability of the ground-truth token
        input_codes.npy        uint16 [T]     the window as the model read it
        lengths.npy            uint8 [T]      number of bytes of each token (uint16, uint32 if needed)
        shard.json             windows, fields, checksum of the inputs; written last

A row takes 4K + 4 bytes (44 for K = 10) whatever the vocabulary's size, and its token 3 more; a shard's
vocabulary adds 4 bytes for each distinct token, at most 256 KiB. A shard has at most 65,536 distinct tokens:
one with more is split in two until it fits. A single window with more has int32 `ids.npy` and `input_ids.npy`
in place of the codes and the vocabulary.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fusion.distributions import Distributions, check_sizes, offsets_of
from fusion.errors import FusionError
from fusion.shard_format import (
    AGAIN,
    CODES,
    VERSION,
    decoded,
    distinct,
    encoded,
    ends_of,
    no_rows,
    open_shard,
    read_array,
    read_facts,
    write_facts,
)
from fusion.tokens import Encoding

SHARD_ROWS = 1 << 20
_PER_WINDOW = {"windows": np.int64, "token_offsets": np.int64, "closed": np.bool_, "exact": np.bool_}


@dataclass(frozen=True)
class DistributionStore:
    """A complete store, open for reading: per-window data in memory, blocks of rows on demand."""

    folder: Path
    top_k: int
    vocabulary_size: int
    shards: tuple[tuple[int, int], ...]  # first window and end window (excluded), ascending, no gaps
    windows: NDArray[np.int64]  # [W + 1]
    token_offsets: NDArray[np.int64]  # [W + 1]
    closed: NDArray[np.bool_]  # [W]
    exact: NDArray[np.bool_]  # [W]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Open a store. Raises FusionError naming a file that is missing, truncated or of another format.

        Checks that every shard's files exist and have the right shapes; their contents are not read.
        """
        if not (folder / "store.json").exists() and not any(folder.glob("shard-*")):
            raise FusionError(
                f"{folder} holds no stored distributions" if folder.is_dir() else f"{folder}: no such folder",
                remedy="name the folder that extract_to or store has written (it has store.json)",
            )
        facts = read_facts(folder / "store.json", ("top_k", "vocabulary_size", "shards"))
        arrays = {name: read_array(folder / f"{name}.npy", kind) for name, kind in _PER_WINDOW.items()}
        try:
            shards = tuple((int(start), int(stop)) for start, stop in facts["shards"])
            found = cls(folder, int(facts["top_k"]), int(facts["vocabulary_size"]), shards, **arrays)
        except (TypeError, ValueError) as error:
            raise FusionError(f"{folder / 'store.json'}: not readable ({error})", remedy=AGAIN) from None
        found._check()
        return found

    @property
    def rows_count(self) -> int:
        """Rows of all windows."""
        return int(self.windows[-1])

    @property
    def bytes_on_disk(self) -> int:
        """Size of all files together."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def block(self, start: int, stop: int) -> Distributions:
        """Load windows `start` to `stop` (excluded) into memory, decoded and counted from 0.

        Their rows are `windows[start]` to `windows[stop]` of the corpus.
        """
        if not 0 <= start <= stop <= len(self.closed):
            raise FusionError(
                f"windows {start} to {stop} of a store of {len(self.closed)}",
                remedy="ask for windows that it has",
            )
        met = [s for s in self.shards if s[0] < stop and start < s[1]]
        parts = [self._part(s, max(start, s[0]), min(stop, s[1])) for s in met]
        return Distributions(
            windows=self.windows[start : stop + 1] - self.windows[start],
            token_offsets=self.token_offsets[start : stop + 1] - self.token_offsets[start],
            closed=self.closed[start:stop],
            exact=self.exact[start:stop],
            **_joined(parts or [no_rows(self.top_k)]),
        )

    def blocks(self, rows: int = 1 << 17) -> Iterator[tuple[int, int]]:
        """Consecutive ranges of windows that cover the corpus, each of at most `rows` rows or one window."""
        return _ranges(self.windows, 0, len(self.closed), rows)

    def _part(self, shard: tuple[int, int], start: int, stop: int) -> dict[str, NDArray[Any]]:
        """The decoded row and token fields of windows that lie in one shard."""
        files = open_shard(self.folder / _name(shard), *self._size(shard))
        first_row, first_token = self.windows[shard[0]], self.token_offsets[shard[0]]
        rows = slice(int(self.windows[start] - first_row), int(self.windows[stop] - first_row))
        tokens = slice(
            int(self.token_offsets[start] - first_token), int(self.token_offsets[stop] - first_token)
        )
        offsets = self.token_offsets[start : stop + 1] - self.token_offsets[start]
        return {
            "ids": decoded(files, "codes", "ids", rows),
            "logprobs": np.array(files["logprobs"][rows]),
            "leftover": np.array(files["leftover"][rows]),
            "gold_logprob": files["gold_logprob"][rows].astype(np.float32),
            "input_ids": decoded(files, "input_codes", "input_ids", tokens),
            "ends": ends_of(files["lengths"][tokens], offsets),
        }

    def _size(self, shard: tuple[int, int]) -> tuple[int, int, int]:
        return _size(shard, self.windows, self.token_offsets, self.top_k)

    def _check(self) -> None:
        count, path = len(self.closed), self.folder / "store.json"
        if not len(self.exact) == count == len(self.windows) - 1 == len(self.token_offsets) - 1:
            raise FusionError(f"{self.folder}: per-window files differ in length", remedy=AGAIN)
        bounds = [0, *(stop for _, stop in self.shards)]
        if bounds[-1] != count or [start for start, _ in self.shards] != bounds[:-1]:
            raise FusionError(f"{path}: shards do not cover its {count} windows", remedy=AGAIN)
        for shard in self.shards:
            open_shard(self.folder / _name(shard), *self._size(shard))


class StoreWriter:
    """Writes a store shard by shard; complete shards that are already in the folder are kept.

    A shard is kept if it was made with the same k, vocabulary size and `origin` (any text that identifies the
    model) from the same encodings. Other shards are removed from the folder, and all of them if `keep` is
    false.
    """

    def __init__(
        self,
        folder: Path,
        encodings: Sequence[Encoding],
        closed: Sequence[bool],
        *,
        k: int,
        vocabulary_size: int,
        origin: str = "",
        keep: bool = True,
    ) -> None:
        check_sizes(encodings, k, vocabulary_size)
        check_closed(encodings, closed)
        self.folder, self.encodings, self.origin = folder, encodings, origin
        self.closed = np.array(closed, np.bool_)
        self.top_k, self.vocabulary_size = k, vocabulary_size
        lengths = np.array([len(e.input_ids) for e in encodings], np.int64)
        self.token_offsets = offsets_of(lengths)
        self.windows = offsets_of(np.maximum(lengths - 1, 0))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "store.json").unlink(missing_ok=True)
        self.shards = self._kept(keep)

    @property
    def windows_done(self) -> int:
        """Number of windows in complete shards."""
        return sum(stop - start for start, stop in self.shards)

    def missing(self, shard_rows: int = SHARD_ROWS) -> list[tuple[int, int]]:
        """Ranges of windows still to be written, in order: at most `shard_rows` rows each, or one window."""
        bounds = [0, *(bound for shard in sorted(self.shards) for bound in shard), len(self.encodings)]
        gaps = zip(bounds[::2], bounds[1::2], strict=True)
        return [r for start, stop in gaps for r in _ranges(self.windows, start, stop, shard_rows)]

    def block(self, start: int, stop: int) -> Distributions:
        """Empty distributions for windows `start` to `stop`: fill them in any order (`put`), then `write`."""
        return Distributions.create(
            self.encodings[start:stop],
            self.closed[start:stop].tolist(),
            k=self.top_k,
            vocabulary_size=self.vocabulary_size,
        )

    def write(self, start: int, block: Distributions) -> None:
        """Write a block whose first window is `start` as one shard, or several if it has too many ids."""
        count = len(block.closed)
        if count > 1 and len(distinct(block, self.vocabulary_size)) > CODES:
            half = count // 2
            self.write(start, block.part(0, half))
            self.write(start + half, block.part(half, count))
        else:
            self._write_shard((start, start + count), block)

    def close(self) -> DistributionStore:
        """Write the per-window files and open the store. Raises FusionError if windows are still missing."""
        if self.missing():
            raise FusionError(
                f"{self.folder}: windows {self.missing()} were not written", remedy="write every window"
            )
        exact = np.array([e.exact for e in self.encodings], np.bool_)
        arrays = {"windows": self.windows, "token_offsets": self.token_offsets, "closed": self.closed}
        for name, array in (arrays | {"exact": exact}).items():
            np.save(self.folder / f"{name}.npy", array)
        facts = {"top_k": self.top_k, "vocabulary_size": self.vocabulary_size, "shards": sorted(self.shards)}
        write_facts(self.folder / "store.json", facts)
        return DistributionStore.load(self.folder)

    def _write_shard(self, shard: tuple[int, int], block: Distributions) -> None:
        """Write a shard to a draft folder and rename it, so that a shard with its final name is complete."""
        draft, final = self.folder / f"{_name(shard)}.draft", self.folder / _name(shard)
        for folder in (draft, final):
            shutil.rmtree(folder, ignore_errors=True)
        draft.mkdir(parents=True)
        for name, array in encoded(block, self.vocabulary_size).items():
            np.save(draft / f"{name}.npy", array)
        write_facts(draft / "shard.json", {"windows": shard, "checksum": self._checksum(shard)})
        draft.rename(final)
        self.shards.append(shard)

    def _checksum(self, shard: tuple[int, int]) -> str:
        """Checksum of a shard's inputs: format, k, vocabulary size, model, and its windows' tokens."""
        start, stop = shard
        digest = sha256(json.dumps([VERSION, self.top_k, self.vocabulary_size, self.origin]).encode())
        digest.update(np.diff(self.token_offsets[start : stop + 1]).tobytes())
        digest.update(self.closed[start:stop].tobytes())
        for encoding in self.encodings[start:stop]:
            digest.update(np.asarray(encoding.input_ids, np.int32).tobytes())
            digest.update(np.asarray(encoding.ends, np.int32).tobytes())
        return digest.hexdigest()

    def _size(self, shard: tuple[int, int]) -> tuple[int, int, int]:
        return _size(shard, self.windows, self.token_offsets, self.top_k)

    def _kept(self, keep: bool) -> list[tuple[int, int]]:
        """Shards in the folder that can be kept, in order; removes the others."""
        kept: list[tuple[int, int]] = []
        for folder in sorted(self.folder.glob("shard-*")):
            shard = self._whole_shard(folder) if keep else None
            if shard is None or any(shard[0] < stop and start < shard[1] for start, stop in kept):
                shutil.rmtree(folder)
            else:
                kept.append(shard)
        return sorted(kept)

    def _whole_shard(self, folder: Path) -> tuple[int, int] | None:
        try:
            facts = read_facts(folder / "shard.json", ("windows", "checksum"))
            shard = (int(facts["windows"][0]), int(facts["windows"][1]))
            if folder.name != _name(shard) or not 0 <= shard[0] < shard[1] <= len(self.encodings):
                return None
            if facts["checksum"] != self._checksum(shard):
                return None
            open_shard(self.folder / _name(shard), *self._size(shard))
        except (FusionError, ValueError, TypeError, IndexError):
            return None
        return shard


def check_closed(encodings: Sequence[Encoding], closed: Sequence[bool]) -> None:
    """Raise FusionError unless `closed` has one entry per window."""
    if len(closed) != len(encodings):
        raise FusionError(
            f"closed (whether a window ends with eos) has {len(closed)} entries for {len(encodings)} windows",
            remedy="give closed one entry for each encoding, in the same order",
        )


def store(
    folder: Path, distributions: Distributions, *, vocabulary_size: int, shard_rows: int = SHARD_ROWS
) -> DistributionStore:
    """Write distributions from memory as a store, in shards of at most `shard_rows` rows."""
    d = distributions
    encodings = [d.encoding(window) for window in range(len(d.closed))]
    writer = StoreWriter(
        folder, encodings, d.closed.tolist(), k=d.ids.shape[1], vocabulary_size=vocabulary_size, keep=False
    )
    for start, stop in writer.missing(shard_rows):
        writer.write(start, d.part(start, stop))
    return writer.close()


def _ranges(offsets: NDArray[np.int64], start: int, stop: int, rows: int) -> Iterator[tuple[int, int]]:
    """Split windows [start, stop) into ranges of at most `rows` rows each, at least one window."""
    while start < stop:
        reach = int(np.searchsorted(offsets, offsets[start] + max(rows, 1), side="right")) - 1
        end = min(max(reach, start + 1), stop)
        yield start, end
        start = end


def _joined(parts: Sequence[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _size(
    shard: tuple[int, int], windows: NDArray[np.int64], token_offsets: NDArray[np.int64], k: int
) -> tuple[int, int, int]:
    """Rows and tokens of a shard, and k."""
    start, stop = shard
    return int(windows[stop] - windows[start]), int(token_offsets[stop] - token_offsets[start]), k


def _name(shard: tuple[int, int]) -> str:
    return f"shard-{shard[0]:08d}-{shard[1]:08d}"
