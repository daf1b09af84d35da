"""The fusion stages over real stores: blocks change nothing, models are judged on the same text."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from fusion import shards
from fusion.distributions import Distributions, TopK
from fusion.fuse_blocks import window_quality
from fusion.shards import DistributionStore, store
from fusion.tokens import Encoding
from fusion.vocabulary import VocabularyMap
from harness.pipeline.steps import fuse as fusing
from harness.pipeline.steps.align import align
from harness.pipeline.steps.fused_rows import read_fused_rows
from harness.pipeline.steps.write_windows import WindowText
from harness.suite.spec import FusionSpec

TOKENS = 50


def model(*windows: tuple[list[int], list[int], list[float]], k: int = 1) -> Distributions:
    """Windows as (ids, ends, nats of each next token); every row lists tokens 3, 4, ... at 0.3 each."""
    encodings = [Encoding(np.array(i, np.int32), np.array(e, np.int32)) for i, e, _ in windows]
    out = Distributions.create(encodings, [False] * len(windows), k=k, vocabulary_size=TOKENS)
    for number, (_, _, nll) in enumerate(windows):
        ids = np.tile(np.arange(3, 3 + k, dtype=np.int32), (len(nll), 1))
        logprobs = np.full(ids.shape, np.log(0.3), np.float16)
        left = np.full(len(nll), 1 - 0.3 * k, np.float32)
        out.put(number, TopK(ids, logprobs, left, -np.array(nll, np.float32)))
    return out


def random_model(seed: int, windows: int = 12) -> Distributions:
    """Windows of 20 bytes in random tokens of random likelihood."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(windows):
        inner = np.sort(rng.choice(np.arange(1, 20), rng.integers(3, 12), replace=False))
        ends = [0, *inner.tolist(), 20]
        nll = rng.exponential(1.5, len(ends) - 1).tolist()
        made.append(([0, *rng.integers(1, TOKENS, len(ends) - 1).tolist()], ends, nll))
    return model(*made, k=3)


class Stages:
    """Finished stages in a folder, as a context hands them to a stage's body."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = folder
        self.inputs: dict[str, Any] = {}
        self.windows: list[WindowText] = []
        for step in ("fuse", "align"):
            monkeypatch.setattr(f"harness.pipeline.steps.{step}.read_windows", lambda _context: self.windows)

    def folder(self, name: str) -> Path:
        found = self.root / name.replace(":", "-")
        found.mkdir(parents=True, exist_ok=True)
        return found

    def report(self, *_: Any) -> None:
        pass

    def put(self, name: str, distributions: Distributions, unknown: int | None = None) -> None:
        self.inputs[f"distributions:{name}"] = SimpleNamespace(facts={"unknown_token": unknown})
        store(self.folder(f"distributions:{name}") / "distributions", distributions, vocabulary_size=TOKENS)

    def map(self, name: str, found: VocabularyMap) -> None:
        np.save(self.folder(f"vocabulary:{name}") / "target_ids.npy", found.target_ids)
        np.save(self.folder(f"vocabulary:{name}") / "distance.npy", found.distance)

    def align(self, source: str, spec: FusionSpec) -> dict[str, float]:
        draft: Any = SimpleNamespace(folder=self.folder(f"alignment:{source}"), facts={})
        here: Any = lambda _context: self.root  # noqa: E731
        align(draft, self, names=("target", source), folders=(here, here), method=spec)  # type: ignore[arg-type]
        found: dict[str, float] = draft.facts["coverage"]
        return found

    def fuse(self, spec: FusionSpec, sources: list[str]) -> tuple[dict[str, Any], Path]:
        draft: Any = SimpleNamespace(folder=self.folder("fusion"), facts={})
        fusing.fuse(draft, self, method=spec, target="target", sources=sources)  # type: ignore[arg-type]
        return draft.facts, draft.folder


@pytest.fixture
def stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stages:
    return Stages(tmp_path, monkeypatch)


def spec_of(**changes: Any) -> FusionSpec:
    return FusionSpec(**changes)


@pytest.mark.parametrize("granularity", ["document", "window"])
def test_models_alike_but_for_bos_are_equally_good(granularity: str, stages: Stages) -> None:
    """The first token is hard: counted for one model only, it would decide."""
    stages.windows = [WindowText(0, "code", "abcdefg", True)]
    stages.put("target", model(([0, 5, 6, 7], [0, 2, 3, 7], [9.0, 0.5, 0.25])))
    stages.put("source", model(([5, 6, 7], [2, 3, 7], [0.5, 0.25])))
    stages.map("source", VocabularyMap.identity(TOKENS))
    np.save(stages.folder("alignment:source") / "rows.npy", np.array([-1, 0, 1]))
    spec = spec_of(granularity=granularity)
    models = list(fusing._sources(stages, spec, "target", ["source"]))  # type: ignore[arg-type]
    quality = window_quality(models, [w.document for w in stages.windows], spec)
    assert quality is not None
    target, source = quality
    np.testing.assert_allclose(target, source)
    np.testing.assert_allclose(target, 0.75 / (5 * np.log(2)))


def test_a_model_that_cannot_read_the_text_is_not_the_best(stages: Stages) -> None:
    """It is sure that something unknown comes (token 5, 0.1 nats), and hides six bytes behind it."""
    stages.windows = [WindowText(0, "code", "abcdefg", True)]
    stages.put("target", model(([0, 5, 6], [0, 6, 7], [4.0, 1.0])))
    stages.put("source", model(([0, 5, 6], [0, 6, 7], [0.1, 1.0])), unknown=5)
    stages.map("source", VocabularyMap.identity(TOKENS))
    np.save(stages.folder("alignment:source") / "rows.npy", np.array([0, 1]))
    models = list(fusing._sources(stages, spec_of(), "target", ["source"]))  # type: ignore[arg-type]
    quality = window_quality(models, [w.document for w in stages.windows], spec_of())
    assert quality is not None
    target, source = quality
    np.testing.assert_allclose(target, 5.0 / (7 * np.log(2)))
    np.testing.assert_allclose(source, (1.1 + 6 * np.log(256)) / (7 * np.log(2)), rtol=1e-5)


CHOICES: list[dict[str, Any]] = [
    {},
    {"function": "avgce"},
    {"granularity": "token", "next_token": "vocabulary"},
    {"granularity": "window", "quality": "cross_entropy", "include_target": False},
]


@pytest.mark.parametrize("choices", CHOICES)
def test_the_size_of_blocks_changes_nothing(
    choices: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Coverage, attribution and every fused row, with all windows in one block and with a few in each."""
    to_target = np.random.default_rng(7).integers(-1, TOKENS, TOKENS).astype(np.int32)
    found = []
    original = shards.DistributionStore.blocks
    for rows in (1 << 17, 25):
        monkeypatch.setattr(DistributionStore, "blocks", lambda self, rows=rows: original(self, rows))
        stages = Stages(tmp_path / str(rows), monkeypatch)
        stages.windows = [WindowText(w // 3, "code" if w < 6 else "text", "", True) for w in range(12)]
        for seed, name in enumerate(("target", "a", "b")):
            stages.put(name, random_model(seed))
        spec = spec_of(**choices)
        coverage = {}
        for name in ("a", "b"):
            stages.map(name, VocabularyMap(to_target, np.zeros(TOKENS, np.int32)))
            coverage[name] = stages.align(name, spec)
        facts, folder = stages.fuse(spec, ["a", "b"])
        table = pq.read_table(folder / "attribution.parquet").to_pydict()
        found.append((coverage, facts, table, arrays(folder)))
    (one, *_), (many, *_) = found
    assert one == {n: pytest.approx(c) for n, c in many.items()}
    assert found[0][2] == found[1][2]
    for name, share in found[0][1]["attribution"].items():
        assert share == pytest.approx(found[1][1]["attribution"][name])
    for a, b in zip(found[0][3], found[1][3], strict=True):
        np.testing.assert_array_equal(a, b)


def arrays(folder: Path) -> list[NDArray[Any]]:
    rows = read_fused_rows(folder)
    return [rows.ids, rows.probabilities, rows.leftover, rows.kept, np.load(folder / "winner.npy")]


def test_attribution_adds_up_to_the_rows_that_are_taught(stages: Stages) -> None:
    stages.windows = [WindowText(w // 3, "code", "", True) for w in range(12)]
    for seed, name in enumerate(("target", "a")):
        stages.put(name, random_model(seed))
    stages.map("a", VocabularyMap.identity(TOKENS))
    spec = spec_of()
    stages.align("a", spec)
    facts, folder = stages.fuse(spec, ["a"])
    table = pq.read_table(folder / "attribution.parquet").to_pydict()
    assert sum(table["rows"]) == int(read_fused_rows(folder).kept.sum()) > 0
    assert sum(facts["attribution"].values()) == pytest.approx(100)


@pytest.mark.parametrize(("duplicates", "mass"), [("add", 0.6), ("first", 0.3)])
def test_two_tokens_that_become_one_are_added_or_the_first_is_kept(
    duplicates: str, mass: float, stages: Stages
) -> None:
    """Every row of the source lists tokens 3 and 4 at 0.3 each, and both are the target's 7."""
    stages.windows = [WindowText(0, "code", "", True)]
    window = [5, 6, 8], [1, 2, 3], [0.5, 0.25]
    stages.put("target", model(window, k=2))
    stages.put("source", model(window, k=2))
    stages.map("source", VocabularyMap(np.full(TOKENS, 7, np.int32), np.zeros(TOKENS, np.int32)))
    spec = spec_of(duplicates=duplicates, next_token="vocabulary", include_target=False)
    coverage = stages.align("source", spec)
    _, folder = stages.fuse(spec, ["source"])
    rows = read_fused_rows(folder)
    assert coverage["mass"] == pytest.approx(100 * mass, abs=0.1)
    np.testing.assert_array_equal(rows.ids[:, 0], 7)
    np.testing.assert_allclose(rows.probabilities.sum(1), mass, atol=1e-3)


def test_the_text_gives_the_next_token_more(stages: Stages) -> None:
    """Nothing maps but what the text itself shows: only with next_token "text" does any mass arrive."""
    stages.windows = [WindowText(w, "code", "", True) for w in range(12)]
    for seed, name in enumerate(("target", "a")):
        stages.put(name, random_model(seed))
    stages.map("a", VocabularyMap(np.full(TOKENS, -1, np.int32), np.full(TOKENS, -1, np.int32)))
    by_text = stages.align("a", spec_of())
    by_map = stages.align("a", spec_of(next_token="vocabulary"))
    assert by_map["next_token"] == by_map["positions"] == 0.0
    assert by_text["next_token"] > 1 and by_text["positions"] > 10
