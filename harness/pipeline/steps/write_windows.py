"""The stage `windows`: documents cut into windows; and each model's tokens of a window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.pipeline.stage import Context, Folder
from harness.pipeline.store import Draft

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from fusion.tokens import Encoding, TokenTable


def write_windows(
    draft: Draft,
    context: Context,
    *,
    tokenizers: Mapping[str, Folder],
    block_size: int,
    evaluation_fraction: float,
    seed: int,
) -> None:
    """Cut every document into windows that fit every tokenizer; some documents are held out for eval_loss."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from fusion.models import load_tokenizer
    from fusion.windows import cut_windows

    documents = pq.read_table(context.folder("corpus") / "documents.parquet").to_pydict()
    texts = documents["text"]
    loaded = [load_tokenizer(folder(context)) for folder in tokenizers.values()]
    context.report("cutting windows", 0, len(texts))
    windows = cut_windows(texts, loaded, block_size)
    held_out = _held_out(len(texts), evaluation_fraction, seed)
    table = pa.table(
        {
            "document": [w.document for w in windows],
            "part": [documents["part"][w.document] for w in windows],
            "text": [texts[w.document][w.start : w.stop] for w in windows],
            "last": [w.last for w in windows],
            "held_out": [w.document in held_out for w in windows],
        }
    )
    pq.write_table(table, draft.folder / "windows.parquet")
    draft.facts |= {"windows": len(windows), "held_out": sum(w.document in held_out for w in windows)}


def _held_out(documents: int, fraction: float, seed: int) -> set[int]:
    order = np.random.default_rng(seed).permutation(documents)
    return set(order[: round(documents * fraction)].tolist())


@dataclass(frozen=True)
class WindowText:
    """One window as text; `last`: its document ends with it."""

    document: int
    part: str
    text: str
    last: bool


def read_windows(context: Context, *, held_out: bool = False) -> list[WindowText]:
    """The training windows, or the held-out ones, in order."""
    import pyarrow.parquet as pq

    rows = pq.read_table(context.folder("windows") / "windows.parquet").to_pylist()
    return [
        WindowText(r["document"], r["part"], r["text"], r["last"]) for r in rows if r["held_out"] == held_out
    ]


def read_tokenizer(folder: Path) -> "tuple[PreTrainedTokenizerFast, TokenTable]":
    """A model's tokenizer, and its token table: the bytes or the role of each token."""
    from fusion.models import load_tokenizer, vocabulary_size
    from fusion.tokens import token_table

    tokenizer = load_tokenizer(folder)
    return tokenizer, token_table(tokenizer, vocabulary_size(folder))


def encode_windows(
    folder: Path, windows: Sequence[WindowText], bos: bool | None
) -> "tuple[list[Encoding], list[bool]]":
    """Every window in this model's tokens, and whether it ends with eos.

    bos is added if `bos` says so (None: if the tokenizer adds one), eos where the document ends and the
    tokenizer has such a token.
    """
    from fusion.tokens import encode, wants_bos

    tokenizer, table = read_tokenizer(folder)
    with_bos = wants_bos(tokenizer) if bos is None else bos
    closed = [w.last and "eos" in table.roles for w in windows]
    encodings = [
        encode(tokenizer, table, w.text, bos=with_bos, eos=eos)
        for w, eos in zip(windows, closed, strict=True)
    ]
    return encodings, closed
