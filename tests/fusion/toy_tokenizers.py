"""Small tokenizers of each family, made in memory, for tests."""

from functools import cache
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

TEXT = (
    "The cat sat on the mat. The dogs' cats (three of them) ran; 12 birds sang!\n"
    "def add(a, b):\n    return a + b\n\nprint(add(1, 2))\n"
    "Le chat s'est assis. Die Katze saß auf der Matte.\n"
) * 3
BYTE_PIECES = [f"<0x{b:02X}>" for b in range(256)]


def _wrap(tokenizer: Tokenizer, **roles: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **roles)


@cache
def byte_level(size: int = 320) -> PreTrainedTokenizerFast:
    """GPT-2's kind: every text is covered, no bos of its own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    return _wrap(tokenizer, eos_token="<|endoftext|>")


@cache
def composed_byte_level() -> PreTrainedTokenizerFast:
    """Qwen's kind: byte-level over composed characters (NFC); here without merges, one token a byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return _wrap(tokenizer)


@cache
def crossing_byte_level() -> PreTrainedTokenizerFast:
    """Qwen's kind with a token of GPT-2's and Qwen's that ends inside a character: a space, 2 bytes of 4."""
    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary |= {"\u0120\u00f0": 256, "\u0120\u00f0\u0141": 257}
    merges = [("\u0120", "\u00f0"), ("\u0120\u00f0", "\u0141")]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return _wrap(tokenizer)


@cache
def normalised(name: str, kind: str) -> PreTrainedTokenizerFast:
    """A family's tokenizer that first normalises its text: NFC, NFKC, Lowercase, ..."""
    tokenizer = Tokenizer.from_str(families()[name].backend_tokenizer.to_str())
    own, first = tokenizer.normalizer, getattr(normalizers, kind)()
    tokenizer.normalizer = normalizers.Sequence([first, own]) if own else first
    return _wrap(tokenizer)


@cache
def marked_by_normalizer() -> PreTrainedTokenizerFast:
    """A marker for the space that only the normalizer tells of: no pre-tokenizer, a plain decoder."""
    pieces = ["<unk>", "\u2581", "c", "a", "t", "\u2581c"]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("\u2581", "c")], unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Fuse()
    return _wrap(tokenizer, unk_token="<unk>")


@cache
def half_cup() -> PreTrainedTokenizerFast:
    """XLM-R's kind: Unigram over NFKC, which writes U+00BD as three tokens, and a dummy space on its own."""
    pieces = [(piece, -2.0) for piece in ["<unk>", "<s>", "▁", "1", "⁄", "2", "▁cup", "▁add", "==", "fi"]]
    tokenizer = Tokenizer(models.Unigram([*pieces, ("=", -9.0)], unk_id=0))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    return _wrap(tokenizer, unk_token="<unk>", bos_token="<s>")


@cache
def marked_word_piece() -> PreTrainedTokenizerFast:
    """WordPiece over a marker for the space, which drops nothing."""
    pieces = ["[UNK]", "a", "b", "\n", "##a", "##b", "##\n", "\u2581", "##\u2581"]
    tokenizer = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    return _wrap(tokenizer, unk_token="[UNK]")


@cache
def byte_fallback() -> PreTrainedTokenizerFast:
    """Llama-2's kind: a marker for the space, also before the text; byte fallback; its own bos."""
    words = ["\u2581the", "\u2581The", "\u2581cat", "\u2581cats", "cat", "s", "\u2581sat", "\u2581mat", "."]
    letters = sorted({c for c in TEXT if c.isascii() and not c.isspace()} | {"\u2581"})
    pieces = ["<unk>", "<s>", "</s>", *BYTE_PIECES, *dict.fromkeys(words + letters)]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=_merges(words, vocabulary), unk_token="<unk>", byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    _put_bos(tokenizer, "<s>", vocabulary["<s>"])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return _wrap(tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def _merges(words: list[str], vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Left-to-right merges that build each word, adding the steps between to the vocabulary."""
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        for end in range(2, len(word) + 1):
            merges[word[: end - 1], word[end - 1]] = None
            vocabulary.setdefault(word[:end], len(vocabulary))
    return list(merges)


def _put_bos(tokenizer: Tokenizer, bos: str, token: int) -> None:
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, token)]
    )


@cache
def unigram() -> PreTrainedTokenizerFast:
    """T5's kind: a marker for the space, an unknown token, no bytes; T5 normalises characters, too."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    trainer = trainers.UnigramTrainer(
        vocab_size=90, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    return _wrap(tokenizer, eos_token="</s>", pad_token="<pad>", unk_token="<unk>")


@cache
def word_piece(lowercase: bool = False) -> PreTrainedTokenizerFast:
    """BERT's kind: white space dropped, `##` on pieces that continue a word."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=160, special_tokens=["[UNK]", "[EOS]"], show_progress=False
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    return _wrap(tokenizer, eos_token="[EOS]", unk_token="[UNK]")


def families() -> dict[str, Any]:
    return {
        "byte_level": byte_level(),
        "byte_fallback": byte_fallback(),
        "unigram": unigram(),
        "word_piece": word_piece(),
        "word_piece_lower": word_piece(lowercase=True),
    }
