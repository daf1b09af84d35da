"""Conversion of a token's spelling to its bytes, by the rules of its tokenizer.

The family is recognised from the tokenizer's own description (model, normalizer, pre-tokenizer, decoder), not
from class names: byte-level (GPT-2's byte alphabet), a marker for the space (SentencePiece's U+2581, with or
without byte fallback), and WordPiece (a prefix such as `##` on pieces that continue a word).

WordPiece tokens contain no white space. If the pre-tokenizer drops white space, a piece that starts a word
gets the space before it, as the tokenizer's own decoder writes it; punctuation, which usually follows a word
directly, does not.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

_DROPS_WHITE_SPACE = frozenset({"BertPreTokenizer", "Whitespace", "WhitespaceSplit", "CharDelimiterSplit"})
_SPACE_MARKER = "\u2581"


class Speller:
    """Converts spellings to bytes by the rules of one tokenizer."""

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
            return piece.encode() if added else _from_byte_alphabet(piece)
        if self.byte_fallback and len(piece) == 6 and piece.startswith("<0x"):
            return bytes([int(piece[3:5], 16)])
        continues = bool(self.continuation) and piece.startswith(self.continuation)
        text = piece.removeprefix(self.continuation) if continues else piece
        text = text.replace(self.marker, " ") if self.marker else text
        starts_word = self.drops_space and not continues and text[:1].isalnum()
        return (" " + text if starts_word else text).encode()


@cache
def _byte_alphabet() -> dict[str, int]:
    """GPT-2's byte alphabet: printable Latin-1 stands for itself, the other 68 bytes start at U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in set(printable)]
    return {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(others)}


def _from_byte_alphabet(piece: str) -> bytes:
    alphabet = _byte_alphabet()
    try:
        return bytes([alphabet[c] for c in piece])
    except KeyError:
        return piece.encode()


def _parts(node: Any) -> Iterator[dict[str, Any]]:
    """All parts with a type in a tokenizer's description, outermost first."""
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
    """The character that stands for a space, or "" if spaces are kept as they are."""
    for part in _parts(description["normalizer"]):
        if part["type"] == "Replace" and part["pattern"].get("String") == " " and part["content"]:
            return str(part["content"])
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
