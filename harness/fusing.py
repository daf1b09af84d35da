"""The bodies of the stages from distributions to checkpoint: read files, call `fusion`, write files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.inputs import Folder, WindowText, encode_windows, model_facts, read_windows, token_table_of
from harness.stages import Context
from harness.store import Draft
from harness.suite import FusionSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusion.distributions import Distributions
    from fusion.functions import Fused
    from fusion.projection import Projected
    from fusion.tokens import Encoding, TokenTable
    from fusion.training import TeacherRows
    from fusion.vocabulary import VocabularyMap


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
    from fusion.models import load_model, pick_device

    folder = model(context)
    encodings, closed = encode_windows(folder, read_windows(context), bos)
    network = load_model(folder, dtype=spec.dtype, device=pick_device(device))
    distributions = extract(
        network,
        encodings,
        closed,
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
    draft: Draft,
    context: Context,
    *,
    names: tuple[str, str],
    folders: tuple[Folder, Folder],
    alignment: str,
) -> None:
    """For each row of the target the source's row that speaks of the same place, or -1.

    `names` and `folders` are the target's and the source's.
    """
    target, source = names
    ours, theirs = _read_distributions(context, target), _read_distributions(context, source)
    vocabulary = _read_map(context.folder(f"vocabulary:{source}"))
    tables = token_table_of(folders[0](context)), token_table_of(folders[1](context))
    pieces, count = [], len(ours.closed)
    for window in range(count):
        rows = _align_window(ours.encoding(window), theirs.encoding(window), alignment, tables, vocabulary)
        pieces.append(np.where(rows >= 0, rows + theirs.windows[window], -1))
        context.report(f"{source} to {target}", window + 1, count)
    rows = np.concatenate(pieces) if pieces else np.empty(0, np.int64)
    np.save(draft.folder / "rows.npy", rows)
    draft.facts["coverage"] = _coverage(
        rows, ours, theirs, vocabulary, [w.part for w in read_windows(context)]
    )


def _align_window(
    ours: "Encoding",
    theirs: "Encoding",
    alignment: str,
    tables: "tuple[TokenTable, TokenTable]",
    vocabulary: "VocabularyMap",
) -> "NDArray[Any]":
    from fusion.alignment import align_em, align_end_byte, align_mined

    if alignment == "end_byte":
        return align_end_byte(ours.ends[:-1], theirs.ends[:-1])
    if alignment == "em":
        return align_em(ours.input_ids, theirs.input_ids, *tables)
    return align_mined(ours.input_ids, theirs.input_ids, *tables, vocabulary)


def _coverage(
    rows: "NDArray[Any]",
    ours: "Distributions",
    theirs: "Distributions",
    vocabulary: "VocabularyMap",
    parts: Sequence[str],
) -> dict[str, float]:
    """Percent of the target's rows that keep a teacher (in all and by corpus part), of its mass that is kept
    on those rows after top-k and vocabulary map, and of the aligned rows on which its own next token,
    mapped, is the target's (equal contexts may go on in tokens that are cut differently)."""
    projected = _project(rows, theirs, vocabulary)
    kept = projected.kept
    mass = 1.0 - projected.leftover[kept].astype(np.float64)
    part_of_row = np.repeat(np.array(parts), np.diff(ours.windows))
    by_part = {f"positions.{p}": 100 * float(kept[part_of_row == p].mean()) for p in sorted(set(parts))}
    return {
        "positions": 100 * float(kept.mean()) if len(kept) else 0.0,
        "mass": 100 * float(mass.mean()) if len(mass) else 0.0,
        "agreement": _agreement(rows, ours, theirs, vocabulary),
        **by_part,
    }


def _agreement(
    rows: "NDArray[Any]", ours: "Distributions", theirs: "Distributions", vocabulary: "VocabularyMap"
) -> float:
    aligned = rows >= 0
    same = vocabulary.target_ids[theirs.gold[rows[aligned]]] == ours.gold[aligned]
    return 100 * float(same.mean()) if len(same) else 0.0


def _project(rows: "NDArray[Any]", theirs: "Distributions", vocabulary: "VocabularyMap") -> "Projected":
    from fusion.projection import project

    return project(theirs.ids, theirs.logprobs, theirs.leftover, rows, vocabulary)


def fuse(draft: Draft, context: Context, *, spec: FusionSpec, target: str, sources: Sequence[str]) -> None:
    """One distribution per row of the target, and which model taught how much of it."""
    from fusion.distributions import common_start
    from fusion.functions import avgce, mince
    from fusion.vocabulary import VocabularyMap

    ours = _read_distributions(context, target)
    own_rows = np.arange(len(ours.gold_logprob))
    windows = read_windows(context)
    teachers = {source: _read_distributions(context, source) for source in sources}
    start = common_start([*([ours] if spec.include_target else []), *teachers.values()])
    models, qualities, names = [], [], []
    if spec.include_target:
        identity = VocabularyMap.identity(int(ours.ids.max(initial=0)) + 1)
        models.append(_project(own_rows, ours, identity))
        qualities.append(_quality(ours, ours, own_rows, windows, start, spec))
        names.append(target)
    for number, (source, theirs) in enumerate(teachers.items()):
        context.report(f"projecting {source}", number, len(sources))
        rows = np.load(context.folder(f"alignment:{source}") / "rows.npy")
        models.append(_project(rows, theirs, _read_map(context.folder(f"vocabulary:{source}"))))
        qualities.append(_quality(theirs, ours, rows, windows, start, spec))
        names.append(source)
    fused = (mince if spec.function == "mince" else avgce)(models, np.stack(qualities))
    _write_teacher(draft.folder, ours.windows, fused)
    draft.facts |= _attribution(fused, names, ours, windows)


def _quality(
    model: "Distributions",
    ours: "Distributions",
    rows: "NDArray[Any]",
    windows: Sequence[WindowText],
    start: "NDArray[np.int64]",
    spec: FusionSpec,
) -> "NDArray[np.float64]":
    """How well one model predicts the text around each row of the target, [R]; lower is better.

    Windows count from the byte `start` [W] on, the same for all models.
    """
    from fusion.distributions import window_nll
    from fusion.functions import group_quality, spread, token_quality

    if spec.granularity == "token":
        return token_quality(model, rows, spec.quality)
    by_document = np.unique([w.document for w in windows], return_inverse=True)[1]
    groups = by_document if spec.granularity == "document" else np.arange(len(windows))
    quality = group_quality(window_nll(model, start), groups, spec.quality)
    return spread(quality, np.repeat(groups, np.diff(ours.windows)))


def _write_teacher(folder: Path, offsets: "NDArray[Any]", fused: "Fused") -> None:
    rows = fused.distribution
    arrays: dict[str, NDArray[Any]] = {
        "offsets": offsets,
        "ids": rows.ids,
        "probabilities": rows.probabilities,
        "leftover": rows.leftover,
        "kept": rows.kept,
        "winner": fused.winner,
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def _attribution(
    fused: "Fused", names: Sequence[str], ours: "Distributions", windows: Sequence[WindowText]
) -> dict[str, Any]:
    """Percent of the taught rows by model, in all and by corpus part."""
    parts = np.repeat(np.array([w.part for w in windows]), np.diff(ours.windows))
    kept = fused.winner >= 0
    by_part = {
        part: {
            n: 100 * float((fused.winner[kept & (parts == part)] == i).mean()) for i, n in enumerate(names)
        }
        for part in sorted(set(parts.tolist()))
        if (kept & (parts == part)).any()
    }
    return {
        "attribution": {n: 100 * float(s) for n, s in zip(names, fused.share, strict=True)},
        "attribution_by_part": by_part,
        "taught_percent": 100 * float(kept.mean()) if len(kept) else 0.0,
    }


def _read_teacher(folder: Path) -> "TeacherRows":
    from fusion.training import TeacherRows

    names = ("offsets", "ids", "probabilities", "leftover", "kept")
    return TeacherRows(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in names))


def train_target(
    draft: Draft,
    context: Context,
    *,
    target: Folder,
    bos: bool | None,
    objective: Mapping[str, Any],
    training: Mapping[str, Any],
    seed: int,
    device: str,
) -> None:
    """Train the target: with the fused distributions if they are an input, else as the CLM control."""
    from fusion.models import load_model, load_tokenizer, pick_device, save_model
    from fusion.training import Objective, train

    folder = target(context)
    tokenizer = load_tokenizer(folder)
    model = load_model(folder, dtype="float32", device=pick_device(device))
    teacher = _read_teacher(context.folder("fusion")) if "fusion" in context.inputs else None
    result = train(
        model,
        _token_ids(folder, read_windows(context), bos),
        teacher,
        Objective(**objective),
        arguments=training,
        folder=draft.scratch,
        pad_id=tokenizer.pad_token_id or 0,
        seed=seed,
        evaluation=_token_ids(folder, read_windows(context, held_out=True), bos),
        report=lambda done, total: context.report("steps", done, total),
    )
    save_model(model, tokenizer, draft.folder / "model")
    draft.facts |= {"tokens": result.tokens, "steps": result.steps, "points": list(result.points)}
    draft.facts |= model_facts(draft.folder / "model")


def _token_ids(folder: Path, windows: Sequence[WindowText], bos: bool | None) -> "list[NDArray[np.int32]]":
    return [e.input_ids for e in encode_windows(folder, windows, bos)[0]]
