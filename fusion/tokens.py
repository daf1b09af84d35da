"""The bytes of tokens and their end bytes in a text, for every fast tokenizer family.

    V   width of the vocabulary            S   tokens of a sequence            B   bytes of the text (UTF-8)

A token's *end byte* is the number of bytes of the text read up to and including the token, apart from white
space that belongs to no token. So the byte-level token " cat" and the WordPiece token "cat" have the same end
byte, and the contexts after them are equal.
"""

import json
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from fusion.errors import FusionError
from fusion.token_bytes import Speller

ROLES = ("bos", "eos", "pad", "unk")


@dataclass(frozen=True)
class TokenTable:
    """A vocabulary in id order.

    `pieces[i]`: the bytes of token i (b"" for an id that the tokenizer does not know; the spelling of a
    special token). `roles`: the ids of bos, eos, pad and unk, if they exist. `special`: all ids that are
    control tokens and not text.
    """

    pieces: tuple[bytes, ...]
    roles: Mapping[str, int]
    special: frozenset[int]

    def is_text(self, token: int) -> bool:
        """Whether the token is text: known to the tokenizer and not special."""
        return token not in self.special and bool(self.pieces[token])


@dataclass(frozen=True)
class Encoding:
    """A text as one model reads it: `input_ids` int32 [S] and end bytes `ends` int32 [S].

    `exact`: whether the tokens' own bytes are the text. If the tokenizer normalised or dropped something or
    used an unknown token, ends come from its character offsets instead.
    """

    input_ids: NDArray[np.int32]
    ends: NDArray[np.int32]
    exact: bool = True


@dataclass(frozen=True)
class Spans:
    """Tokens of a text without bos and eos: `ids`, `starts`, `ends` int32 [S]; offsets in bytes.

    `exact`: whether the tokens' own bytes are the text, so that the offsets come from them.
    """

    ids: NDArray[np.int32]
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]
    exact: bool


def token_table(tokenizer: PreTrainedTokenizerFast, width: int | None = None) -> TokenTable:
    """The bytes of every token; `width` is the number of the model's logits, if not the tokenizer's size.

    Ids beyond the tokenizer's own have no bytes; tokens beyond `width` are left out.
    Raises FusionError for a tokenizer that is not fast (it has no description and no offsets).
    """
    description = _description(tokenizer)
    added = {a["id"]: a for a in description["added_tokens"]}
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    size = max(vocabulary.values(), default=-1) + 1 if width is None else width
    spell = Speller(description)
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
    """Whether the tokenizer itself puts its bos before a text; models trained that way need it."""
    bos = tokenizer.bos_token_id
    return bos is not None and tokenizer("x")["input_ids"][:1] == [bos]


def encode(
    tokenizer: PreTrainedTokenizerFast, table: TokenTable, text: str, *, bos: bool, eos: bool
) -> Encoding:
    """Ids and end bytes of a text encoded on its own, with bos and eos if asked for.

    bos ends at byte 0, eos at the text's length. Raises FusionError for a bos or eos that the tokenizer does
    not have, for ids beyond the model's vocabulary, and for a text that the tokens do not cover.
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
    """Start and end of each token of a text, in bytes.

    They come from the tokens' own bytes if these reproduce the text (or the text with the space that many
    tokenizers put before it), else from the tokenizer's character offsets: it dropped white space, changed
    case, normalised characters or did not know them. The spelling of a special token is read as plain text.
    """
    data = utf8(text)
    reader = _Reader(tokenizer, table, text)
    ids = np.array(reader.ids(), np.int32)
    if len(ids) and ids.max() >= len(table.pieces):
        raise FusionError(
            f"{_name(tokenizer)}: token {ids.max()} is beyond the model's vocabulary of {len(table.pieces)}",
            remedy="use the tokenizer that belongs to the model",
        )
    pieces = [table.pieces[i] for i in ids]
    written = b"".join(pieces)
    prefix = 0 if written == data else 1
    if written not in (data, b" " + data) or not table.special.isdisjoint(ids.tolist()):
        return _spans_from_offsets(reader, ids)
    ends = np.maximum(np.cumsum([len(p) for p in pieces], dtype=np.int32) - prefix, 0).astype(np.int32)
    return Spans(ids, np.concatenate([np.zeros(1, np.int32), ends])[:-1], ends, exact=True)


def character_bytes(text: str) -> NDArray[np.int64]:
    """Byte offset of each character, then the text's length in bytes: int64 [characters + 1]."""
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    widths = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(widths)])


def utf8(text: str) -> bytes:
    """The text's UTF-8 bytes. Raises FusionError for a lone surrogate, which UTF-8 cannot encode."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise FusionError(
            f"text is not valid Unicode: lone surrogate at character {error.start}",
            remedy="repair or drop the document (usual cause: JSON cut inside an escaped emoji)",
        ) from None


def _name(tokenizer: PreTrainedTokenizerFast) -> str:
    return str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)


def check_fast(tokenizer: PreTrainedTokenizerFast) -> None:
    """Raise FusionError for a tokenizer that is not fast: it has no description and no offsets."""
    if getattr(tokenizer, "backend_tokenizer", None) is None or not getattr(tokenizer, "is_fast", False):
        raise FusionError(
            f"{_name(tokenizer)}: {type(tokenizer).__name__} is not fast, so its bytes are unknown",
            remedy="convert it (AutoTokenizer.from_pretrained(..., use_fast=True).save_pretrained(...)) "
            "or use a model that comes with a tokenizer.json",
        )


def _description(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    check_fast(tokenizer)
    description: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return description


def _roles(tokenizer: PreTrainedTokenizerFast, size: int) -> dict[str, int]:
    ids = {role: getattr(tokenizer, f"{role}_token_id") for role in ROLES}
    return {role: int(i) for role, i in ids.items() if i is not None and i < size}


def _role(tokenizer: PreTrainedTokenizerFast, table: TokenTable, role: str) -> int:
    if role not in table.roles:
        have = ", ".join(table.roles) or "none"
        raise FusionError(
            f"{_name(tokenizer)} has no {role} token (it has: {have})",
            remedy=f"add a {role} token to the tokenizer or do not ask for one",
        )
    return table.roles[role]


# --- a text's tokens


class _Reader(NamedTuple):
    """Encodes a text as plain text: a special token's spelling in it does not become that token."""

    tokenizer: PreTrainedTokenizerFast
    table: TokenTable
    text: str

    def ids(self) -> list[int]:
        ids: list[int] = self._call()["input_ids"]
        return list(self._respelled().ids) if self._misread(ids) else ids

    def offsets(self) -> NDArray[np.int64]:
        """First character of each token and the one after its last: int64 [S, 2]."""
        found = self._call(return_offsets_mapping=True)
        misread = self._misread(found["input_ids"])
        offsets = self._respelled().offsets if misread else found["offset_mapping"]
        return np.array(offsets, np.int64).reshape(-1, 2)

    def _call(self, **options: Any) -> Any:
        return self.tokenizer(
            self.text, add_special_tokens=False, split_special_tokens=True, verbose=False, **options
        )

    def _misread(self, ids: list[int]) -> bool:
        """Whether ids contain a special token that came from its spelling, and not from an unknown word."""
        unknown = self.table.roles.get("unk")
        special = self.table.special.intersection(ids)
        return any(i != unknown or self.table.pieces[i].decode() in self.text for i in special)

    def _respelled(self) -> Any:
        if self.tokenizer not in _RESPELLED:
            _RESPELLED[self.tokenizer] = _without_special(self.tokenizer, self.table)
        return _RESPELLED[self.tokenizer].encode(self.text, add_special_tokens=False)


_RESPELLED: WeakKeyDictionary[PreTrainedTokenizerFast, Any] = WeakKeyDictionary()


def _without_special(tokenizer: PreTrainedTokenizerFast, table: TokenTable) -> Any:
    """The tokenizer's backend with special tokens renamed to strings that no text contains, ids unchanged.

    Unigram and WordPiece use any word of their vocabulary that they find in a text, special or not.
    """
    description = _description(tokenizer)
    names = {table.pieces[i].decode(): f"\ufdd0{i}\ufdd0" for i in table.special}  # a noncharacter
    model = description["model"]
    words = model["vocab"]
    if isinstance(words, dict):
        model["vocab"] = {names.get(word, word): i for word, i in words.items()}
        model["unk_token"] = names.get(model.get("unk_token"), model.get("unk_token"))
    else:
        model["vocab"] = [[names.get(word, word), score] for word, score in words]
    for added in description["added_tokens"]:
        added["content"] = names.get(added["content"], added["content"])
    backend = Tokenizer.from_str(json.dumps(description | {"post_processor": None}))
    backend.no_truncation()
    backend.no_padding()
    return backend


# --- spans from character offsets


def _spans_from_offsets(reader: _Reader, ids: NDArray[np.int32]) -> Spans:
    tokenizer, table, text = reader
    offsets = reader.offsets()
    stops = _stretched(tokenizer, text, offsets)
    bytes_at = character_bytes(text)
    starts = bytes_at[offsets[:, 0]].astype(np.int32)
    ends = np.maximum.accumulate(bytes_at[stops]).astype(np.int32)
    pieces = [table.pieces[i] for i in ids]
    return Spans(ids, starts, _settled(starts, ends, pieces, utf8(text)), exact=False)


def _stretched(
    tokenizer: PreTrainedTokenizerFast, text: str, offsets: NDArray[np.int64]
) -> NDArray[np.int64]:
    """End of each token [S] in characters, including characters that the normalizer merged into it.

    White space and control characters may be outside all tokens; others only if the normalizer removes them,
    else FusionError is raised.
    """
    stops = offsets[:, 1].copy()
    for position in _bare(text, offsets):
        if not _is_joined(tokenizer, text, position):
            raise FusionError(
                f"{_name(tokenizer)} drops {text[position]!r} (U+{ord(text[position]):04X}) at character "
                f"{position}, so its tokens do not cover the text",
                remedy="use a tokenizer with byte fallback or an unknown token, or clean the document",
            )
        stops[stops == position] += 1
    return stops


def _is_joined(tokenizer: PreTrainedTokenizerFast, text: str, position: int) -> bool:
    """Whether the normalizer's output is no longer with the character than without it."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    if normalizer is None:
        return False
    before = text[max(position - 8, 0) : position]
    return len(normalizer.normalize_str(before + text[position])) <= len(normalizer.normalize_str(before))


def _bare(text: str, offsets: NDArray[np.int64]) -> list[int]:
    """Characters outside all tokens, ascending, except white space and control characters."""
    depth = np.zeros(len(text) + 1, np.int64)
    np.add.at(depth, offsets[:, 0], 1)
    np.add.at(depth, offsets[:, 1], -1)
    bare = np.flatnonzero(np.cumsum(depth)[:-1] <= 0).tolist()
    return [p for p in bare if unicodedata.category(text[p])[0] not in "ZC"]


def _settled(
    starts: NDArray[np.int32], ends: NDArray[np.int32], pieces: list[bytes], data: bytes
) -> NDArray[np.int32]:
    """End bytes corrected for tokens whose character offsets overlap (parts of one character, for example).

    If the overlapping tokens' own bytes are the text's (with or without a dummy space at the start), each
    gets the end that its bytes give. Otherwise all get the end of the last one: of tokens with equal ends,
    only the last counts as having read the text up to there.
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
    """First and last token of each run in which every token starts before the previous one ends."""
    joined = np.concatenate([[False], starts[1:] < ends[:-1], [False]]).astype(np.int8)
    steps = np.diff(joined)
    yield from zip(np.flatnonzero(steps == 1).tolist(), np.flatnonzero(steps == -1).tolist(), strict=True)
