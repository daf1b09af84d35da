"""The bodies of the first stages: models at hand, documents, windows; and how each model reads them."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.stages import Context
from harness.store import Draft, sha256_file
from harness.suite import CorpusSpec, ModelSpec

if TYPE_CHECKING:
    from fusion.tokens import Encoding, TokenTable

Folder = Callable[[Context], Path]


def model_fingerprint(folder: Path) -> str:
    """Over weights, configuration and tokenizer: everything that decides what a local model says."""
    names = sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", ".json", ".model", ".txt"))
    return _hash_files(names)


def reference_fingerprint(text: str | None, folder: Path) -> str:
    """Of the files that a suite's `model` or `tokenizer` names; "" for none, and where its text names it."""
    from harness.acquire import MODEL_FILES
    from harness.model_reference import LocalFolder, reference_of

    reference = reference_of(text, folder) if text else None
    if not isinstance(reference, LocalFolder):
        return ""
    return _hash_files(sorted({path for pattern in MODEL_FILES for path in reference.path.glob(pattern)}))


def _hash_files(paths: Sequence[Path]) -> str:
    import hashlib

    lines = [f"{p.name} {sha256_file(p)}" for p in paths if p.is_file()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def corpus_fingerprint(spec: CorpusSpec, folder: Path, mirror: Path | None) -> str:
    """What the corpus will be made of, without reading all of it where that is avoidable."""
    from harness.corpus import content_fingerprint

    return content_fingerprint(spec, folder, mirror=mirror)


def acquire(draft: Draft, context: Context, *, spec: ModelSpec, folder: Path, offline: bool) -> None:
    """Fetch or make a model that is not a local folder."""
    from harness.acquire import acquire_model

    context.report(f"getting {spec.name}", 0, 1)
    acquire_model(spec, folder, draft.folder / "model", offline=offline)
    draft.facts |= model_facts(draft.folder / "model")


def use_in_place(draft: Draft, context: Context, *, local: Path) -> None:  # noqa: ARG001
    """A local model is not copied; the stage only counts and names it."""
    draft.facts |= model_facts(local)


def model_facts(folder: Path) -> dict[str, Any]:
    from fusion.models import count_parameters, weights_fingerprint

    return {"fingerprint": weights_fingerprint(folder), "parameters": count_parameters(folder)}


def write_corpus(
    draft: Draft, context: Context, *, spec: CorpusSpec, folder: Path, mirror: Path | None, offline: bool
) -> None:
    """Documents and the part each belongs to."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from harness.corpus import load_documents

    context.report("reading documents", 0, 1)
    documents = load_documents(spec, folder, mirror=mirror, offline=offline)
    table = pa.table({"text": list(documents.texts), "part": list(documents.parts)})
    pq.write_table(table, draft.folder / "documents.parquet")
    draft.facts |= {
        "documents": len(documents.texts),
        "bytes": sum(len(t.encode()) for t in documents.texts),
        "fingerprint": _documents_fingerprint(zip(documents.parts, documents.texts, strict=True)),
    }


def _documents_fingerprint(documents: Iterable[tuple[str, str]]) -> str:
    """Of parts and texts in their order, wherever they came from."""
    import hashlib

    digest = hashlib.sha256()
    for document in documents:
        digest.update(json.dumps(document, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


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
    """One window as text: `last` says whether its document ends here."""

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


def encode_windows(
    folder: Path, windows: Sequence[WindowText], bos: bool | None
) -> "tuple[list[Encoding], list[bool]]":
    """Every window as this model reads it, and whether it is closed by eos.

    bos is there where the model wants one, eos where the document ends and the tokenizer has such a token.
    """
    from fusion.models import load_tokenizer, vocabulary_size
    from fusion.tokens import encode, token_table, wants_bos

    tokenizer = load_tokenizer(folder)
    table = token_table(tokenizer, vocabulary_size(folder))
    with_bos = wants_bos(tokenizer) if bos is None else bos
    closed = [w.last and "eos" in table.roles for w in windows]
    encodings = [
        encode(tokenizer, table, w.text, bos=with_bos, eos=eos)
        for w, eos in zip(windows, closed, strict=True)
    ]
    return encodings, closed


def token_table_of(folder: Path) -> "TokenTable":
    from fusion.models import load_tokenizer, vocabulary_size
    from fusion.tokens import token_table

    return token_table(load_tokenizer(folder), vocabulary_size(folder))
