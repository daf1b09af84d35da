"""The bodies of the stages from distributions to fused rows: read files, call `fusion`, write files.

Everything but the vocabulary maps is taken in blocks of windows, so that no corpus is too long for memory.
"""

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.coverage import AttributionCount, CoverageCount
from harness.inputs import Folder, WindowText, encode_windows, read_windows, token_table_of
from harness.stages import Context
from harness.store import Draft
from harness.suite import FusionSpec
from harness.teacher import TeacherWriter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusion.distributions import Distributions
    from fusion.errors import FusionError
    from fusion.functions import Fused
    from fusion.projection import Projected
    from fusion.shards import DistributionStore
    from fusion.spelling import Spellings
    from fusion.tokens import Encoding
    from fusion.vocabulary import VocabularyMap

ATTRIBUTION_FILE = "attribution.parquet"


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
    """What a model expects at every position of every training window. A killed attempt's shards are kept."""
    from fusion.errors import FusionError
    from fusion.extraction import extract_to
    from fusion.models import load_model, pick_device

    folder, windows = model(context), read_windows(context)
    encodings, closed = encode_windows(folder, windows, bos)
    network = load_model(folder, dtype=spec.dtype, device=pick_device(device))
    try:
        store = extract_to(
            draft.scratch / "distributions",
            network,
            encodings,
            closed,
            k=spec.top_k,
            batch_tokens=spec.extraction_batch_tokens,
            report=lambda done, total: context.report(f"{name} reads windows", done, total),
        )
    except FusionError as error:
        raise _with_document(error, windows, spec) from error
    unknown = token_table_of(folder).roles.get("unk")
    draft.facts |= _distribution_facts(store, unknown)
    shutil.move(store.folder, draft.folder / "distributions")


def _with_document(error: "FusionError", windows: Sequence[WindowText], spec: FusionSpec) -> "FusionError":
    """An error that knows windows only, with the document's number in the corpus and the suite's key."""
    from fusion.errors import FusionError

    named = re.findall(r"\bwindow (\d+)\b", error.message)
    if not named or int(named[-1]) >= len(windows):
        return error
    window, remedy = windows[int(named[-1])], error.remedy
    if "not finite" in error.message:
        wider = "" if spec.dtype == "float32" else f"set fusion.dtype to float32 (it is {spec.dtype}), or "
        remedy = f"{wider}check the model's weights and what is special about this document"
    place = f"window {named[-1]} is of document {window.document} of the corpus, part {window.part!r}"
    return FusionError(f"{error.message}; {place}", remedy=remedy)


def _distribution_facts(store: "DistributionStore", unknown: int | None) -> dict[str, Any]:
    from fusion.distributions import window_nll

    nll, read, tokens, leftover = 0.0, 0, 0, 0.0
    for start, stop in store.blocks():
        block = store.block(start, stop)
        scores = window_nll(block, unknown=unknown)
        nll += float(scores.nll.sum())
        read += int(scores.bytes.sum())
        tokens += int(scores.tokens.sum())
        leftover += float(block.leftover.sum(dtype=np.float64))
    return {
        "tokens": int(store.token_offsets[-1]),
        "unknown_token": unknown,
        "bits_per_byte": nll / np.log(2) / max(read, 1),
        "cross_entropy": nll / max(tokens, 1),
        "top_k_mass": 1 - leftover / max(store.rows_count, 1),
        "bytes_per_token": store.bytes_on_disk / max(int(store.token_offsets[-1]), 1),
    }


def map_vocabulary(
    draft: Draft, context: Context, *, source: Folder, target: Folder, spec: FusionSpec
) -> None:
    """Which target token each source token stands for."""
    context.report("mapping tokens", 0, 1)
    found = _map(source(context), target(context), spec)
    np.save(draft.folder / "target_ids.npy", found.target_ids)
    np.save(draft.folder / "distance.npy", found.distance)
    mapped = int((found.target_ids >= 0).sum())
    draft.facts |= {"tokens": len(found.target_ids), "mapped_percent": 100 * mapped / len(found.target_ids)}


def _map(source: Path, target: Path, spec: FusionSpec) -> "VocabularyMap":
    from fusion.errors import FusionError
    from fusion.models import load_tokenizer
    from fusion.spelling import map_same_spelling, map_spelling
    from fusion.vocabulary import map_exact, map_minimum_edit, map_prefix

    if spec.compare == "spelling":
        if spec.vocabulary not in ("em", "mined"):
            raise FusionError(
                f"no vocabulary map {spec.vocabulary!r} by spelling, only em and mined",
                remedy="set fusion.compare to bytes, or fusion.vocabulary to em or mined",
            )
        pair = _spellings(source), _spellings(target)
        return map_same_spelling(*pair) if spec.vocabulary == "em" else map_spelling(*pair)
    tables = token_table_of(source), token_table_of(target)
    if spec.vocabulary == "em":
        return map_exact(*tables)
    if spec.vocabulary == "prefix":
        return map_prefix(*tables, load_tokenizer(target))
    return map_minimum_edit(*tables, threshold=spec.vocabulary_threshold)


def _spellings(folder: Path) -> "Spellings":
    from fusion.models import load_tokenizer, vocabulary_size
    from fusion.spelling import spellings

    return spellings(load_tokenizer(folder), vocabulary_size(folder))


def _read_map(folder: Path) -> "VocabularyMap":
    from fusion.vocabulary import VocabularyMap

    return VocabularyMap(np.load(folder / "target_ids.npy"), np.load(folder / "distance.npy"))


def _open(context: Context, name: str) -> "DistributionStore":
    from fusion.shards import DistributionStore

    return DistributionStore.load(context.folder(f"distributions:{name}") / "distributions")


def align(
    draft: Draft,
    context: Context,
    *,
    names: tuple[str, str],
    folders: tuple[Folder, Folder],
    spec: FusionSpec,
) -> None:
    """For each row of the target the source's row that speaks of the same place, or -1.

    `names` and `folders` are the target's and the source's. Rows are numbered over the whole corpus.
    """
    target, source = names
    ours, theirs = _open(context, target), _open(context, source)
    vocabulary = _read_map(context.folder(f"vocabulary:{source}"))
    vocabulary.check(theirs.vocabulary_size, ours.vocabulary_size)
    aligner = _Aligner(spec, (folders[0](context), folders[1](context)), vocabulary)
    parts = [w.part for w in read_windows(context)]
    coverage, pieces = CoverageCount(), [np.empty(0, np.int64)]
    for start, stop in ours.blocks():
        a, b = ours.block(start, stop), theirs.block(start, stop)
        rows = aligner.block(a, b)
        coverage.add(rows, a, b, vocabulary, _project(a, b, rows, vocabulary, spec), parts[start:stop])
        pieces.append(np.where(rows >= 0, rows + theirs.windows[start], -1))
        context.report(f"{source} to {target}", stop, len(ours.closed))
    np.save(draft.folder / "rows.npy", np.concatenate(pieces))
    draft.facts["coverage"] = coverage.percent()


class _Aligner:
    """Aligns the windows of a block as the suite says; `folders` are the target's and the source's."""

    def __init__(self, spec: FusionSpec, folders: tuple[Path, Path], vocabulary: "VocabularyMap") -> None:
        self.spec = spec
        self.mapped = vocabulary if spec.alignment == "mined" else None
        by_edits = spec.alignment != "end_byte"
        spelled = by_edits and spec.compare == "spelling"
        target, source = folders
        self.spellings = (_spellings(target), _spellings(source)) if spelled else None
        self.tables = (token_table_of(target), token_table_of(source)) if by_edits and not spelled else None

    def block(self, ours: "Distributions", theirs: "Distributions") -> "NDArray[np.int32]":
        """Rows of the block's source, -1 for none, numbered within the block."""
        from fusion.alignment import align_end_byte, align_windows

        if self.spec.alignment == "end_byte":
            return align_end_byte(ours.read_to, theirs.read_to)
        return align_windows(ours, theirs, self._window)

    def _window(self, ours: "Encoding", theirs: "Encoding") -> "NDArray[np.int32]":
        from fusion.alignment import align_em, align_mined
        from fusion.release import align_release

        ids = ours.input_ids, theirs.input_ids
        if self.spellings is not None:
            return align_release(*ids, *self.spellings, self.mapped)
        assert self.tables is not None
        if self.mapped is None:
            return align_em(*ids, *self.tables)
        return align_mined(*ids, *self.tables, self.mapped)


def _project(
    ours: "Distributions",
    theirs: "Distributions",
    rows: "NDArray[np.int32]",
    vocabulary: "VocabularyMap",
    spec: FusionSpec,
) -> "Projected":
    """A block of the source at the target's rows, as the suite says; `rows` are numbered within the block."""
    from fusion.continuation import follow_text
    from fusion.projection import project

    return project(
        theirs.ids,
        theirs.logprobs,
        theirs.leftover,
        rows,
        vocabulary,
        continuation=follow_text(ours, theirs, rows) if spec.next_token == "text" else None,
        duplicates=spec.duplicates,
    )


@dataclass(frozen=True)
class _Teacher:
    """One model that takes part in the fusion: its store, map, and its rows (None: the target itself)."""

    name: str
    store: "DistributionStore"
    vocabulary: "VocabularyMap"
    rows: "NDArray[np.int64] | None"
    unknown: int | None  # its unk token

    def rows_of(self, target: "DistributionStore", start: int, stop: int) -> "NDArray[np.int32]":
        """Rows of the block [start, stop) of windows, numbered within it."""
        here = slice(int(target.windows[start]), int(target.windows[stop]))
        if self.rows is None:
            return np.arange(here.stop - here.start, dtype=np.int32)
        rows = self.rows[here]
        return np.where(rows >= 0, rows - self.store.windows[start], -1).astype(np.int32)


def fuse(draft: Draft, context: Context, *, spec: FusionSpec, target: str, sources: Sequence[str]) -> None:
    """One distribution per row of the target, and which model taught how much of it."""
    ours = _open(context, target)
    windows = read_windows(context)
    teachers = list(_teachers(context, spec, target, sources))
    qualities = None if spec.granularity == "token" else _window_quality(teachers, windows, spec)
    writer = TeacherWriter(draft.folder, ours.windows, _width(teachers, spec), ours.vocabulary_size)
    attribution = AttributionCount([t.name for t in teachers])
    for start, stop in ours.blocks():
        fused = _fuse_block(ours, teachers, qualities, (start, stop), spec)
        writer.write(int(ours.windows[start]), fused)
        offsets = ours.windows[start : stop + 1] - ours.windows[start]
        places = [(w.document, w.part) for w in windows[start:stop]]
        attribution.add(fused.winner, fused.share, places, offsets)
        context.report("fusing rows", stop, len(windows))
    writer.close()
    _write_attribution(draft.folder / ATTRIBUTION_FILE, attribution)
    draft.facts |= attribution.percent()


def _teachers(context: Context, spec: FusionSpec, target: str, sources: Sequence[str]) -> Iterator[_Teacher]:
    from fusion.vocabulary import VocabularyMap

    if spec.include_target:
        ours = _open(context, target)
        yield _Teacher(
            target, ours, VocabularyMap.identity(ours.vocabulary_size), None, _unknown(context, target)
        )
    for source in sources:
        rows = np.load(context.folder(f"alignment:{source}") / "rows.npy", mmap_mode="r")
        vocabulary = _read_map(context.folder(f"vocabulary:{source}"))
        yield _Teacher(source, _open(context, source), vocabulary, rows, _unknown(context, source))


def _unknown(context: Context, name: str) -> int | None:
    """The model's unk token, as the stage of its distributions noted it."""
    token: int | None = context.inputs[f"distributions:{name}"].facts["unknown_token"]
    return token


def _width(teachers: Sequence[_Teacher], spec: FusionSpec) -> int:
    """Entries of a fused row: MinCE takes one model's, AvgCE unites them."""
    moved = spec.next_token == "text"
    widths = [t.store.top_k + (moved and t.rows is not None) for t in teachers]
    return max(widths) if spec.function == "mince" else sum(widths)


def _fuse_block(
    ours: "DistributionStore",
    teachers: Sequence[_Teacher],
    qualities: "NDArray[np.float64] | None",
    windows: tuple[int, int],
    spec: FusionSpec,
) -> "Fused":
    from fusion.functions import avgce, mince, token_quality

    block = ours.block(*windows)
    models, by_token = [], []
    for teacher in teachers:
        theirs = block if teacher.rows is None else teacher.store.block(*windows)
        rows = teacher.rows_of(ours, *windows)
        own = spec if teacher.rows is not None else spec.model_copy(update={"next_token": "vocabulary"})
        models.append(_project(block, theirs, rows, teacher.vocabulary, own))
        if qualities is None:
            by_token.append(token_quality(theirs, rows, spec.quality, unknown=teacher.unknown))
    if qualities is None:
        quality = np.stack(by_token)
    else:
        quality = np.repeat(qualities[:, windows[0] : windows[1]], np.diff(block.windows), axis=1)
    if spec.function == "mince":
        return mince(models, quality)
    return avgce(models, quality, weights=spec.avgce_weights)


def _window_quality(
    teachers: Sequence[_Teacher], windows: Sequence[WindowText], spec: FusionSpec
) -> "NDArray[np.float64]":
    """How well each model predicts the group of every window [M, W]; lower is better.

    All models are judged on the same bytes: windows count from the first byte that each of them can score.
    """
    from fusion.distributions import WindowScores, common_start, window_nll
    from fusion.functions import group_quality

    found: list[list[WindowScores]] = [[] for _ in teachers]
    for start, stop in teachers[0].store.blocks():
        blocks = [t.store.block(start, stop) for t in teachers]
        first_byte = common_start(blocks)
        for scores, block, teacher in zip(found, blocks, teachers, strict=True):
            scores.append(window_nll(block, first_byte, unknown=teacher.unknown))
    by_document = np.unique([w.document for w in windows], return_inverse=True)[1]
    groups = by_document if spec.granularity == "document" else np.arange(len(windows))
    pooled = [WindowScores(*map(np.concatenate, zip(*scores, strict=True))) for scores in found]
    return np.stack([group_quality(scores, groups, spec.quality)[groups] for scores in pooled])


def _write_attribution(path: Path, attribution: AttributionCount) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(attribution.by_document()), path)
