"""Tokenizers of the micro models: byte-level BPE, Unigram and WordPiece, trained on the world's text.

All of them reproduce that text byte for byte and give offsets that cover it, which alignment relies on.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from harness.data.micro.world import PARTS, documents

BOS, EOS, PAD, UNK = SPECIAL = ("<s>", "</s>", "<pad>", "<unk>")
TRAINING_DOCUMENTS = 3000  # of each part
WORD = r" ?[a-z]+| ?[0-9]| ?[^\sa-z0-9]+|\s+(?!\S)|\s+"  # words as in GPT-2, for this world's characters
_WORD = re.compile(WORD)


def _text() -> Iterator[str]:
    for part in PARTS:
        yield from islice(documents(part, seed=-1), TRAINING_DOCUMENTS)


def byte_level_bpe(size: int) -> Tokenizer:
    """Byte-level byte-pair encoding (GPT-2, Llama 3)."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_text(), trainer)
    return tokenizer


def _marked_words() -> pre_tokenizers.PreTokenizer:
    """Split into words as GPT-2 does, spaces written as U+2581; no space is added at the start."""
    cut = pre_tokenizers.Split(Regex(WORD), "isolated")
    mark = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="never", split=False)
    return pre_tokenizers.Sequence([cut, mark])


def _ranked(pieces_of: Callable[[str], set[str]], size: int) -> Counter[str]:
    """The most frequent pieces of the world's words, and every piece that is a single letter.

    The library's trainers do not work for the two kinds that use this: the Unigram trainer starts with pieces
    that occur in two distinct words only, so nearly every word would be split into letters; the WordPiece
    trainer orders ids by a random hash.
    """
    counts: Counter[str] = Counter()
    for word, count in Counter(w for text in _text() for w in _WORD.findall(text)).items():
        for piece in pieces_of(word.replace(" ", "▁")):
            counts[piece] += count
    letters = {piece for piece in counts if len(piece.removeprefix("##")) == 1}
    ranked = sorted(counts, key=lambda piece: (piece not in letters, -counts[piece], piece))
    return Counter({piece: counts[piece] for piece in ranked[:size]})


def _parts(word: str) -> set[str]:
    """The word, its pairs of letters, its letters."""
    return {word, *word, *(word[i : i + 2] for i in range(len(word) - 1))}


def _beginnings_and_continuations(word: str) -> set[str]:
    """The word, its first one to three letters, and the letters and pairs of letters that may follow."""
    inside = {word[i : i + length] for i in range(1, len(word)) for length in (1, 2)}
    return {word, word[:1], word[:2], word[:3], *(f"##{piece}" for piece in inside)}


def unigram(size: int) -> Tokenizer:
    """Unigram with the space as U+2581 and byte fallback (SentencePiece)."""
    counts = _ranked(_parts, size - 256 - len(SPECIAL))
    pieces = [(piece, math.log(count / counts.total())) for piece, count in counts.items()]
    lowest = min(score for _, score in pieces) - 1.0
    fallback = [(f"<0x{byte:02X}>", lowest) for byte in range(256)]
    vocabulary = [*((token, 0.0) for token in SPECIAL), *fallback, *pieces]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=SPECIAL.index(UNK), byte_fallback=True))
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.pre_tokenizer = _marked_words()
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return tokenizer


def word_piece(size: int) -> Tokenizer:
    """WordPiece (`##` before continuations of a word); spaces are kept as U+2581 so that no text is lost."""
    pieces = [*SPECIAL, *_ranked(_beginnings_and_continuations, size - len(SPECIAL))]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNK, max_input_chars_per_word=100))
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.pre_tokenizer = _marked_words()
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(Regex("^##"), ""), decoders.Replace("▁", " "), decoders.Fuse()]
    )
    return tokenizer


KINDS: dict[str, Callable[[int], Tokenizer]] = {
    "byte_level_bpe": byte_level_bpe,
    "unigram": unigram,
    "word_piece": word_piece,
}


def build_tokenizer(kind: str, size: int, *, bos: bool) -> Any:
    """A trained `PreTrainedTokenizerFast`; with `bos` it starts every text with its bos token."""
    tokenizer = KINDS[kind](size)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A",
            pair=f"{BOS} $A {BOS} $B",
            special_tokens=[(BOS, tokenizer.token_to_id(BOS))],
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        unk_token=UNK,
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )
