"""What the fusion stages count and compare: known values on windows made by hand."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fusion.distributions import Distributions, TopK
from fusion.tokens import Encoding
from fusion.vocabulary import VocabularyMap
from harness import fusing
from harness.inputs import WindowText
from harness.suite import FusionSpec


def model(ids: list[int], ends: list[int], nll: list[float]) -> Distributions:
    """One window that a model read; every row expects token 3 with probability 0.5."""
    encoding = Encoding(np.array(ids, np.int32), np.array(ends, np.int32))
    out = Distributions.create([encoding], [False], k=1, vocabulary_size=9)
    n = len(nll)
    out.put(
        0,
        TopK(
            np.full((n, 1), 3, np.int32),
            np.full((n, 1), np.log(0.5), np.float16),
            np.full(n, 0.5, np.float32),
            -np.array(nll, np.float32),
        ),
    )
    return out


def test_agreement_counts_next_tokens_that_are_the_targets() -> None:
    """Three aligned rows of four: the same token, one cut differently, and one that maps to nothing."""
    ours = model([0, 5, 6, 7, 8], [0, 1, 2, 3, 4], [1.0] * 4)
    theirs = model([0, 1, 2, 4], [0, 1, 2, 4], [1.0] * 3)
    to_ours = VocabularyMap(np.array([0, 5, 3, 3, -1], np.int32), np.zeros(5, np.int32))
    found = fusing._coverage(np.array([0, 1, -1, 2]), ours, theirs, to_ours, ["code"])
    assert list(found) == ["positions", "mass", "agreement", "positions.code"]
    assert found["agreement"] == pytest.approx(100 / 3)
    nowhere = fusing._coverage(np.full(4, -1), ours, theirs, to_ours, ["code"])
    assert nowhere["agreement"] == 0.0


@pytest.mark.parametrize("granularity", ["document", "window"])
def test_models_alike_but_for_bos_are_equally_good(
    granularity: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first token is hard: counted for one model only, it would decide."""
    stored = {
        "target": model([0, 5, 6, 7], [0, 2, 3, 7], [9.0, 0.5, 0.25]),
        "source": model([5, 6, 7], [2, 3, 7], [0.5, 0.25]),
    }
    seen: list[NDArray[np.float64]] = []

    def mince(_models: Any, quality: NDArray[np.float64]) -> Any:
        seen.append(quality)
        return fused

    fused = SimpleNamespace(
        winner=np.zeros(3, np.int8), share=np.array([1.0, 0.0]), distribution=SimpleNamespace()
    )
    monkeypatch.setattr(fusing, "_read_distributions", lambda _context, name: stored[name])
    monkeypatch.setattr(fusing, "_read_map", lambda _folder: VocabularyMap.identity(9))
    monkeypatch.setattr(fusing, "read_windows", lambda _context: [WindowText(0, "code", "abcdefg", True)])
    monkeypatch.setattr(fusing, "_write_teacher", lambda *_: None)
    monkeypatch.setattr("fusion.functions.mince", mince)
    np.save(tmp_path / "rows.npy", np.array([-1, 0, 1]))
    context: Any = SimpleNamespace(folder=lambda _name: tmp_path, report=lambda *_: None)
    draft: Any = SimpleNamespace(folder=tmp_path, facts={})
    spec = FusionSpec.model_validate({"granularity": granularity})
    fusing.fuse(draft, context, spec=spec, target="target", sources=["source"])
    target, source = seen[0]
    np.testing.assert_allclose(target, source)
    np.testing.assert_allclose(target, 0.75 / (5 * np.log(2)))
