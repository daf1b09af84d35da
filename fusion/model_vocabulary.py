"""A model's vocabulary as bytes and as spellings, for vocabulary maps and alignments; loaded on first use."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from fusion.spelling import Spellings
    from fusion.tokens import TokenTable


class ModelVocabulary:
    """Vocabulary of the model in a local folder; its size is the width of the model's logits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def tokenizer(self) -> "PreTrainedTokenizerFast":
        from fusion.models import load_tokenizer

        return load_tokenizer(self.folder)

    @cached_property
    def size(self) -> int:
        from fusion.models import vocabulary_size

        return vocabulary_size(self.folder)

    @cached_property
    def table(self) -> "TokenTable":
        """The bytes of every token."""
        from fusion.tokens import token_table

        return token_table(self.tokenizer, self.size)

    @cached_property
    def spellings(self) -> "Spellings":
        """The tokenizer's own spelling of every token."""
        from fusion.spelling import spellings

        return spellings(self.tokenizer, self.size)
