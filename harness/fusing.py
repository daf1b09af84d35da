"""The bodies of the stages from corpus to checkpoint: read the inputs' files, call `fusion`, write files."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.stages import Context
from harness.store import Draft, sha256_file
from harness.suite import CorpusSpec, FusionSpec, ModelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.pipeline import Participant

Folder = Callable[[Context], Path]


def model_fingerprint(folder: Path) -> str:
    """Over weights, configuration and tokenizer: everything that decides what a local model says."""
    names = sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", ".json", ".model", ".txt"))
    return _hash_files(names)


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
    draft.facts |= _model_facts(draft.folder / "model")


def use_in_place(draft: Draft, context: Context, *, local: Path) -> None:  # noqa: ARG001
    """A local model is not copied; the stage only counts and names it."""
    draft.facts |= _model_facts(local)


def _model_facts(folder: Path) -> dict[str, Any]:
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
    }


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


def extract_distributions(
    draft: Draft,
    context: Context,
    *,
    model: Folder,
    name: str,
    spec: FusionSpec,
    bos: bool | None,
    device: str,
) -> None:
    """What a model expects at every position of every training window."""
    from fusion.distributions import window_nll
    from fusion.extraction import extract
    from fusion.models import load_model

    folder = model(context)
    encodings = encode_windows(folder, read_windows(context), bos)
    network = load_model(folder, dtype=spec.dtype, device=device)
    distributions = extract(
        network,
        encodings,
        k=spec.top_k,
        batch_tokens=spec.extraction_batch_tokens,
        folder=draft.folder / "distributions",
        report=lambda done, total: context.report(f"{name} reads windows", done, total),
    )
    nll, scored_bytes, scored_tokens = window_nll(distributions)
    draft.facts |= {
        "tokens": int(sum(len(e.input_ids) for e in encodings)),
        "bits_per_byte": float(nll.sum() / np.log(2) / max(scored_bytes.sum(), 1)),
        "cross_entropy": float(nll.sum() / max(scored_tokens.sum(), 1)),
        "top_k_mass": float(1 - np.asarray(distributions.leftover, np.float64).mean()),
    }


def encode_windows(folder: Path, windows: Sequence[WindowText], bos: bool | None) -> "list[Encoding]":
    """Every window as this model reads it: bos where it wants one, eos where the document ends."""
    from fusion.models import load_tokenizer, vocabulary_size
    from fusion.tokens import encode, token_table, wants_bos

    tokenizer = load_tokenizer(folder)
    table = token_table(tokenizer, vocabulary_size(folder))
    with_bos = wants_bos(tokenizer) if bos is None else bos
    return [encode(tokenizer, table, w.text, bos=with_bos, eos=w.last) for w in windows]


def token_table_of(folder: Path) -> "TokenTable":
    from fusion.models import load_tokenizer, vocabulary_size
    from fusion.tokens import token_table

    return token_table(load_tokenizer(folder), vocabulary_size(folder))


def map_vocabulary(
    draft: Draft, context: Context, *, source: Folder, target: Folder, spec: FusionSpec
) -> None:
    """Which target token each source token stands for."""
    from fusion.vocabulary import map_exact, map_minimum_edit

    tables = token_table_of(source(context)), token_table_of(target(context))
    context.report("mapping tokens", 0, len(tables[0].pieces))
    if spec.vocabulary == "em":
        found = map_exact(*tables)
    else:
        found = map_minimum_edit(*tables, threshold=spec.vocabulary_threshold)
    np.save(draft.folder / "target_ids.npy", found.target_ids)
    np.save(draft.folder / "distance.npy", found.distance)
    mapped = int((found.target_ids >= 0).sum())
    draft.facts |= {"tokens": len(found.target_ids), "mapped_percent": 100 * mapped / len(found.target_ids)}


def _read_map(folder: Path) -> "VocabularyMap":
    from fusion.vocabulary import VocabularyMap

    return VocabularyMap(np.load(folder / "target_ids.npy"), np.load(folder / "distance.npy"))


def _read_distributions(context: Context, name: str) -> "Distributions":
    from fusion.distributions import Distributions

    return Distributions.load(context.folder(f"distributions:{name}") / "distributions")


def align(
    draft: Draft, context: Context, *, source: "Participant", target: "Participant", alignment: str
) -> None:
    """For each row of the target the source's row that has read the same text, or -1."""
    theirs, ours = _read_distributions(context, source.name), _read_distributions(context, target.name)
    vocabulary = _read_map(context.folder(f"vocabulary:{source.name}"))
    tables = token_table_of(target.folder(context)), token_table_of(source.folder(context))
    rows = np.concatenate(
        [
            _align_window(ours, theirs, w, alignment, tables, vocabulary) + theirs.windows[w]
            for w in range(len(ours.windows) - 1)
        ]
        or [np.empty(0, np.int64)]
    )
    np.save(draft.folder / "rows.npy", rows)
    draft.facts |= {"coverage": _coverage(rows, theirs, vocabulary, ours.windows, read_windows(context))}
