"""What a token stands for: bytes, whatever the tokenizer's family and spelling.

    V   width of the vocabulary            S   tokens of a sequence            B   bytes of the text (UTF-8)

Families are told apart by the tokenizer's own description (model, normalizer, pre-tokenizer, decoder), never
by class names: byte-level (GPT-2's byte alphabet), marker for the space (SentencePiece's U+2581, with or
without byte fallback), and WordPiece (a prefix such as `##` on pieces that continue a word).

WordPiece says nothing of white space. A piece that starts a word is given the space before it where its
pre-tokenizer drops white space, as its own decoder writes it; punctuation, which mostly follows a word, is
not.

End bytes then mean: all bytes of the text up to there have been read, but for white space that belongs to no
token. The byte-level token " cat" and the WordPiece token "cat" end at the same byte, and their contexts are
equal.
"""

import json
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from fusion.errors import FusionError

ROLES = ("bos", "eos", "pad", "unk")
_DROPS_WHITE_SPACE = frozenset({"BertPreTokenizer", "Whitespace", "WhitespaceSplit", "CharDelimiterSplit"})
_SPACE_MARKER = "\u2581"


@dataclass(frozen=True)
class TokenTable:
    """A vocabulary in id order.

    `pieces[i]` are the bytes of token i (b"" for an id that the tokenizer does not know; special tokens have
    their spelling). `roles` names the ids of bos, eos, pad, unk as far as they exist. `special` holds every
    id that is control rather than text.
    """

    pieces: tuple[bytes, ...]
    roles: Mapping[str, int]
    special: frozenset[int]

    def is_text(self, token: int) -> bool:
        """Whether the token stands for text: known, and not special."""
        return token not in self.special and bool(self.pieces[token])


@dataclass(frozen=True)
class Encoding:
    """A text as one model reads it: `input_ids` int32 [S], and `ends` int32 [S], bytes read after each.

    `exact` says that the tokens' own bytes are the text; where the tokenizer normalised, dropped or could not
    write something, ends come from its character offsets.
    """

    input_ids: NDArray[np.int32]
    ends: NDArray[np.int32]
    exact: bool = True


@dataclass(frozen=True)
class Spans:
    """Tokens of a text without bos and eos: `ids`, `starts`, `ends` int32 [S]; offsets in bytes.

    `exact` says that the offsets are those of the tokens' own bytes, which are the text.
    """

    ids: NDArray[np.int32]
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]
    exact: bool


def token_table(tokenizer: PreTrainedTokenizerFast, width: int | None = None) -> TokenTable:
    """The bytes of every token; `width` is that of the model's logits, where it differs from the tokenizer's.

    Ids past the tokenizer's own stand for nothing; tokens past `width` are left out.
    Raises FusionError for a tokenizer that is not fast (it has no description of itself and no offsets).
    """
    description = _description(tokenizer)
    added = {a["id"]: a for a in description["added_tokens"]}
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    size = max(vocabulary.values(), default=-1) + 1 if width is None else width
    spell = _Speller(description)
    pieces = [b""] * size
    for piece, token in vocabulary.items():
        if token < size:
            pieces[token] = spell(piece, token in added)
    special = {i for i, a in added.items() if a["special"]} | set(tokenizer.all_special_ids)
    for token in special:
        if token < size:
            pieces[token] = utf8(str(tokenizer.convert_ids_to_tokens(token)))
    return TokenTable(tuple(pieces), _roles(tokenizer, size), frozenset(i for i in special if i < size))


def wants_bos(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Whether the tokenizer itself puts its bos before a text, as models trained that way need."""
    bos = tokenizer.bos_token_id
    return bos is not None and tokenizer("x")["input_ids"][:1] == [bos]


def encode(
    tokenizer: PreTrainedTokenizerFast, table: TokenTable, text: str, *, bos: bool, eos: bool
) -> Encoding:
    """Ids and end bytes of a text read on its own, with bos and eos by role where asked for.

    bos ends at byte 0, eos at the text's length. Raises FusionError for a role that the tokenizer lacks, for
    ids beyond the model's vocabulary, and for a text that the tokens do not cover.
    """
    spans = token_spans(tokenizer, table, text)
    before = [_role(tokenizer, table, "bos")] if bos else []
    after = [_role(tokenizer, table, "eos")] if eos else []
    ids = np.concatenate([np.array(before, np.int32), spans.ids, np.array(after, np.int32)])
    ends = np.concatenate(
        [np.zeros(len(before), np.int32), spans.ends, np.full(len(after), len(utf8(text)), np.int32)]
    )
    return Encoding(ids, ends, spans.exact)


def token_spans(tokenizer: PreTrainedTokenizerFast, table: TokenTable, text: str) -> Spans:
    """Where each token of a text starts and ends, in bytes.

    From the tokens' own bytes where these reproduce the text (or the text with the space that many tokenizers
    put before it); otherwise - white space dropped, case folded, characters normalised or unknown - from the
    tokenizer's character offsets.
    """
    data = utf8(text)
    ids = np.array(_ids(tokenizer, text), np.int32)
    if len(ids) and ids.max() >= len(table.pieces):
        raise FusionError(
            f"{_name(tokenizer)}: token {ids.max()} is beyond the model's vocabulary of {len(table.pieces)}",
            remedy="use the tokenizer that belongs to the model",
        )
    pieces = [table.pieces[i] for i in ids]
    written = b"".join(pieces)
    prefix = 0 if written == data else 1
    if written not in (data, b" " + data):
        return _spans_from_offsets(tokenizer, table, text, ids)
    ends = np.maximum(np.cumsum([len(p) for p in pieces], dtype=np.int32) - prefix, 0).astype(np.int32)
    return Spans(ids, np.concatenate([np.zeros(1, np.int32), ends])[:-1], ends, exact=True)


def character_bytes(text: str) -> NDArray[np.int64]:
    """Byte offset at which each character starts, then the text's length: int64 [characters + 1]."""
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    widths = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(widths)])


def utf8(text: str) -> bytes:
    """The text's bytes; FusionError for half of a surrogate pair, which no encoding can write."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise FusionError(
            f"text is not valid Unicode: lone surrogate at character {error.start}",
            remedy="repair or drop the document (it usually stems from JSON cut inside an escaped emoji)",
        ) from None


def _name(tokenizer: PreTrainedTokenizerFast) -> str:
    return str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)


def _description(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not getattr(tokenizer, "is_fast", False):
        raise FusionError(
            f"{_name(tokenizer)}: {type(tokenizer).__name__} is not fast, so its bytes are unknown",
            remedy="convert it (AutoTokenizer.from_pretrained(..., use_fast=True).save_pretrained(...)) "
            "or take a model that ships a tokenizer.json",
        )
    description: dict[str, Any] = json.loads(backend.to_str())
    return description


def _roles(tokenizer: PreTrainedTokenizerFast, size: int) -> dict[str, int]:
    ids = {role: getattr(tokenizer, f"{role}_token_id") for role in ROLES}
    return {role: int(i) for role, i in ids.items() if i is not None and i < size}


def _role(tokenizer: PreTrainedTokenizerFast, table: TokenTable, role: str) -> int:
    if role not in table.roles:
        have = ", ".join(table.roles) or "none"
        raise FusionError(
            f"{_name(tokenizer)} has no {role} token (it has: {have})",
            remedy=f"give the tokenizer a {role} token or do not ask for one",
        )
    return table.roles[role]


def _ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return ids


# --- from a piece's spelling to its bytes


class _Speller:
    """Turns spellings into bytes by the rules of one tokenizer."""

    def __init__(self, description: dict[str, Any]) -> None:
        kinds = set(_kinds(description))
        model = description["model"]
        self.byte_level = "ByteLevel" in kinds
        self.marker = _marker(description)
        self.byte_fallback = bool(model.get("byte_fallback")) or "ByteFallback" in kinds
        self.continuation = model.get("continuing_subword_prefix") or ""
        self.drops_space = model["type"] == "WordPiece" and _drops_white_space(description)

    def __call__(self, piece: str, added: bool) -> bytes:
        if self.byte_level:
            return utf8(piece) if added else _from_byte_alphabet(piece)
        if self.byte_fallback and len(piece) == 6 and piece.startswith("<0x"):
            return bytes([int(piece[3:5], 16)])
        continues = bool(self.continuation) and piece.startswith(self.continuation)
        text = piece.removeprefix(self.continuation) if continues else piece
        text = text.replace(self.marker, " ") if self.marker else text
        starts_word = self.drops_space and not continues and text[:1].isalnum()
        return utf8(" " + text if starts_word else text)


@cache
def _byte_alphabet() -> dict[str, int]:
    """GPT-2's spelling of bytes: printable Latin-1 stands for itself, the other 68 follow from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in set(printable)]
    return {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(others)}


def _from_byte_alphabet(piece: str) -> bytes:
    alphabet = _byte_alphabet()
    try:
        return bytes([alphabet[c] for c in piece])
    except KeyError:
        return utf8(piece)


def _parts(node: Any) -> Iterator[dict[str, Any]]:
    """Every typed part of a tokenizer's description, outermost first."""
    if isinstance(node, list):
        for child in node:
            yield from _parts(child)
    elif isinstance(node, dict):
        if "type" in node:
            yield node
        for key in ("normalizers", "pretokenizers", "decoders", "processors"):
            yield from _parts(node.get(key))


def _kinds(description: dict[str, Any]) -> Iterator[str]:
    for room in ("normalizer", "pre_tokenizer", "decoder"):
        yield from (part["type"] for part in _parts(description[room]))


def _marker(description: dict[str, Any]) -> str:
    """The character that stands for a space, or "" where spaces are written as they are."""
    for room in ("pre_tokenizer", "decoder"):
        for part in _parts(description[room]):
            if part["type"] == "Metaspace":
                return str(part["replacement"])
            if part["type"] == "Replace" and part["content"] == " ":
                return str(part["pattern"].get("String", _SPACE_MARKER))
    return ""


def _drops_white_space(description: dict[str, Any]) -> bool:
    parts = list(_parts(description["pre_tokenizer"]))
    return any(p["type"] in _DROPS_WHITE_SPACE or p.get("behavior") == "Removed" for p in parts)


# --- spans from character offsets


def _spans_from_offsets(
    tokenizer: PreTrainedTokenizerFast, table: TokenTable, text: str, ids: NDArray[np.int32]
) -> Spans:
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    offsets = np.array(found["offset_mapping"], np.int64).reshape(-1, 2)
    stops = _stretched(tokenizer, text, offsets)
    bytes_at = character_bytes(text)
    starts = bytes_at[offsets[:, 0]].astype(np.int32)
    ends = np.maximum.accumulate(bytes_at[stops]).astype(np.int32)
    pieces = [table.pieces[i] for i in ids]
    return Spans(ids, starts, _settled(starts, ends, pieces, utf8(text)), exact=False)


def _stretched(
    tokenizer: PreTrainedTokenizerFast, text: str, offsets: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Where tokens [S] stop, in characters, counting what the normalizer joined to the character before.

    White space and control characters may belong to no token; others only if the normalizer removes them.
    """
    stops = offsets[:, 1].copy()
    for position in _bare(text, offsets):
        if not _is_joined(tokenizer, text, position):
            raise FusionError(
                f"{_name(tokenizer)} drops {text[position]!r} (U+{ord(text[position]):04X}) at character "
                f"{position}, so its tokens do not cover the text",
                remedy="take a tokenizer with byte fallback or an unknown token, or clean the document",
            )
        stops[stops == position] += 1
    return stops


def _is_joined(tokenizer: PreTrainedTokenizerFast, text: str, position: int) -> bool:
    """Whether the normalizer writes no more with the character than without it."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    if normalizer is None:
        return False
    before = text[max(position - 8, 0) : position]
    return len(normalizer.normalize_str(before + text[position])) <= len(normalizer.normalize_str(before))


def _bare(text: str, offsets: NDArray[np.int64]) -> list[int]:
    """Characters that are in no token, ascending, but for white space and control characters."""
    depth = np.zeros(len(text) + 1, np.int64)
    np.add.at(depth, offsets[:, 0], 1)
    np.add.at(depth, offsets[:, 1], -1)
    bare = np.flatnonzero(np.cumsum(depth)[:-1] <= 0).tolist()
    return [p for p in bare if unicodedata.category(text[p])[0] not in "ZC"]


def _settled(
    starts: NDArray[np.int32], ends: NDArray[np.int32], pieces: list[bytes], data: bytes
) -> NDArray[np.int32]:
    """Ends of tokens that overlap: a token that begins before another ends has read no more without it.

    They end inside only where their own bytes are the text's (or its dummy space's, too). Elsewhere all end
    where the last of them does: of tokens that end at the same byte, the last is the one that has read it.
    """
    out = ends.copy()
    for first, last in _overlapping(starts, ends):
        start, stop, own = int(starts[first]), int(ends[last]), pieces[first : last + 1]
        written = b"".join(own)
        dummy = int(start == 0 and written == b" " + data[:stop])
        read = np.cumsum([len(p) for p in own]) - dummy
        same = written[dummy:] == data[start:stop]
        out[first : last + 1] = start + np.maximum(read, 0) if same else stop
    return out


def _overlapping(starts: NDArray[np.int32], ends: NDArray[np.int32]) -> Iterator[tuple[int, int]]:
    """First and last of tokens each of which starts before the one before it has ended; ends ascend."""
    joined = np.concatenate([[False], starts[1:] < ends[:-1], [False]]).astype(np.int8)
    steps = np.diff(joined)
    yield from zip(np.flatnonzero(steps == 1).tolist(), np.flatnonzero(steps == -1).tolist(), strict=True)
