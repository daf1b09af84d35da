"""Files of one shard of stored distributions: encoding, decoding, checks. `shards` describes the layout.

T   tokens of the shard     R   rows of the shard     K   entries kept     C   distinct tokens
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion.distributions import Distributions
from fusion.errors import FusionError

FORMAT = "fusion-distributions"
VERSION = 1
CODES = 1 << 16
AGAIN = "extract the distributions again"
_ROW_FIELDS = ("logprobs", "leftover", "gold_logprob")


def distinct(block: Distributions, vocabulary_size: int) -> NDArray[np.int32]:
    """Token ids that occur in a block, in ascending order."""
    seen = np.zeros(vocabulary_size, np.bool_)
    seen[block.ids] = True
    seen[block.input_ids] = True
    return np.flatnonzero(seen).astype(np.int32)


def encoded(block: Distributions, vocabulary_size: int) -> dict[str, NDArray[Any]]:
    """Arrays of a shard's files, by name."""
    vocabulary = distinct(block, vocabulary_size)
    out = {name: _half(getattr(block, name)) for name in _ROW_FIELDS} | {"lengths": _lengths(block)}
    if len(vocabulary) > CODES:
        return out | {"ids": block.ids, "input_ids": block.input_ids}
    code_of = np.zeros(vocabulary_size, np.uint16)
    code_of[vocabulary] = np.arange(len(vocabulary), dtype=np.uint16)
    codes = {"codes": code_of[block.ids], "input_codes": code_of[block.input_ids]}
    return out | codes | {"vocabulary": vocabulary}


def _half(values: NDArray[Any]) -> NDArray[np.float16]:
    """Values in half precision; those below its range become its lowest finite number."""
    return np.asarray(np.maximum(values, np.finfo(np.float16).min), np.float16)


def _lengths(block: Distributions) -> NDArray[Any]:
    """Number of bytes of each token, in the smallest unsigned type."""
    lengths = np.diff(block.ends, prepend=0).astype(np.int64)
    first = block.token_offsets[:-1][np.diff(block.token_offsets) > 0]
    lengths[first] = block.ends[first]
    if (lengths < 0).any():
        raise FusionError(
            "end bytes decrease within a window", remedy="encode windows with fusion.tokens.encode"
        )
    return lengths.astype(np.min_scalar_type(int(lengths.max(initial=0))))


def ends_of(lengths: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.int32]:
    """End byte of each token, counted from its window's start."""
    total = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    before = np.repeat(total[offsets[:-1]], np.diff(offsets))
    return np.asarray(total[1:] - before, np.int32)


def decoded(files: dict[str, NDArray[Any]], codes: str, ids: str, part: slice) -> NDArray[np.int32]:
    """Token ids, decoded from a shard's codes or stored directly."""
    if ids in files:
        return np.array(files[ids][part], np.int32)
    try:
        return np.asarray(files["vocabulary"][files[codes][part]], np.int32)
    except IndexError:
        raise FusionError(f"{codes}.npy has codes that are not in vocabulary.npy", remedy=AGAIN) from None


def no_rows(k: int) -> dict[str, NDArray[Any]]:
    """Decoded fields of a block without windows."""
    return {
        "ids": np.zeros((0, k), np.int32),
        "logprobs": np.zeros((0, k), np.float16),
        "leftover": np.zeros(0, np.float16),
        "gold_logprob": np.zeros(0, np.float32),
        "input_ids": np.zeros(0, np.int32),
        "ends": np.zeros(0, np.int32),
    }


# --- files


def open_shard(folder: Path, rows: int, tokens: int, k: int) -> dict[str, NDArray[Any]]:
    """Memory-map a shard's files. Raises FusionError if one does not fit the numbers of rows and tokens."""
    coded = (folder / "vocabulary.npy").exists() or not (folder / "ids.npy").exists()
    kind, top, read = ("u2", "codes", "input_codes") if coded else ("i4", "ids", "input_ids")
    files = {
        "logprobs": _mapped(folder / "logprobs.npy", "f2", (rows, k)),
        "leftover": _mapped(folder / "leftover.npy", "f2", (rows,)),
        "gold_logprob": _mapped(folder / "gold_logprob.npy", "f2", (rows,)),
        "lengths": _mapped(folder / "lengths.npy", "u1 u2 u4", (tokens,)),
        top: _mapped(folder / f"{top}.npy", kind, (rows, k)),
        read: _mapped(folder / f"{read}.npy", kind, (tokens,)),
    }
    return files | ({"vocabulary": read_array(folder / "vocabulary.npy", np.int32)} if coded else {})


def _mapped(path: Path, kinds: str, shape: tuple[int, ...]) -> NDArray[Any]:
    array = _load(path, mapped=0 not in shape)  # an array without elements cannot be mapped
    if array.shape != shape or array.dtype.str[1:] not in kinds.split():
        raise FusionError(
            f"{path}: is {array.dtype} {array.shape}, not {kinds.replace(' ', ' or ')} {shape}", remedy=AGAIN
        )
    return array


def read_array(path: Path, kind: Any) -> NDArray[Any]:
    """Load a one-dimensional array of dtype `kind` into memory."""
    array = _load(path, mapped=False)
    if array.dtype != kind or array.ndim != 1:
        raise FusionError(f"{path}: is {array.dtype} {array.shape}, not {np.dtype(kind)} [n]", remedy=AGAIN)
    return array


def _load(path: Path, *, mapped: bool) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except FileNotFoundError:
        raise FusionError(f"{path}: missing from the stored distributions", remedy=AGAIN) from None
    except (ValueError, OSError, EOFError) as error:
        raise FusionError(f"{path}: not a complete array ({error})", remedy=AGAIN) from None
    return array


def read_facts(path: Path, needed: Sequence[str]) -> dict[str, Any]:
    """Read a JSON object of this format and version that has the needed keys."""
    try:
        facts = json.loads(path.read_text())
    except FileNotFoundError:
        raise FusionError(f"{path}: missing, so the store is incomplete", remedy=AGAIN) from None
    except (OSError, ValueError) as error:
        raise FusionError(f"{path}: not readable ({error})", remedy=AGAIN) from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT or any(n not in facts for n in needed):
        raise FusionError(f"{path}: not a description of stored distributions", remedy="name another folder")
    if facts.get("version") != VERSION:
        raise FusionError(
            f"{path}: format version {facts.get('version')}, this program reads {VERSION}", remedy=AGAIN
        )
    return facts


def write_facts(path: Path, facts: dict[str, Any]) -> None:
    """Write such an object to a temporary file, then move it into place."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps({"format": FORMAT, "version": VERSION, **facts}, indent=1) + "\n")
    draft.replace(path)
