"""Which model class scores: ours unless the suite names another by lm-eval's own name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.core.exceptions import InputError, SuiteError
from harness.scoring import ScoringOptions, load_lm, score_with_journal, validate_benchmarks
from harness.scoring.model_backends import backend_names, build_lm
from harness.suite.load import load_suite
from harness.suite.spec import BenchmarkSpec
from tests.harness.scoring.scoring_world import write_mirror, write_model

ARC = BenchmarkSpec(name="arc", tasks=("arc_easy",), metrics=("acc",), limit=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> ScoringOptions:
    mirror = write_mirror(tmp_path_factory.mktemp("hub"))
    return ScoringOptions(mirror=mirror, offline=True, device="cpu", batch_size=4)


def test_ours_is_one_of_lm_evals_names() -> None:
    assert {"fusegauge", "hf", "vllm", "sglang", "local-completions"} <= set(backend_names())


def test_a_model_is_read_by_our_class_unless_told_otherwise(model: Path, options: ScoringOptions) -> None:
    ours, plain = load_lm(model, options), load_lm(model, replace(options, backend="hf"))
    assert type(ours.lm).__name__ == "SharedPrefixLM"
    assert (ours.strategy, ours.fallback) == ("tree", "")
    assert type(plain.lm).__name__ == "HFLM"
    assert (plain.strategy, plain.fallback, plain.tokens_read) == ("", "", None)
    found = [score_with_journal(ARC, lm, options).items for lm in (ours, plain)]
    assert [(i.item, i.scores, i.prediction) for i in found[0]] == [
        (i.item, i.scores, i.prediction) for i in found[1]
    ]
    assert (ours.tokens_read or 0) > 0


def test_arguments_of_a_class_reach_it(model: Path, options: ScoringOptions) -> None:
    given = replace(options, backend_args='{"strategy": "reuse", "max_length": 77}')
    lm = load_lm(model, given)
    assert (lm.strategy, lm.lm.max_length) == ("reuse", 77)


def test_the_models_folder_has_a_name_in_arguments(
    model: Path, options: ScoringOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server is asked for a model by name; what a class does not name itself it is not given."""
    import lm_eval.api.registry as registry

    class Server:
        def __init__(self, base_url: str, model: str, batch_size: int = 1) -> None:
            self.given = (base_url, model, batch_size)

    monkeypatch.setattr(registry, "get_model", lambda _: Server)
    asked = replace(
        options, backend="local-completions", backend_args='{"base_url": "http://x", "model": "{folder}"}'
    )
    assert build_lm(model, asked, "cpu", None).given == ("http://x", str(model), 4)


def test_an_unknown_name_is_told_with_the_nearest(model: Path, options: ScoringOptions) -> None:
    wrong = replace(options, backend="fusegage")
    (mistake,) = validate_benchmarks([], wrong)
    assert mistake.startswith("scoring.backend: lm-eval has no model class 'fusegage'")
    assert "fusegauge" in mistake.removeprefix("scoring.backend: lm-eval has no model class 'fusegage'")
    with pytest.raises(InputError, match="fusegage"):
        build_lm(model, wrong, "cpu", None)


@pytest.mark.parametrize(
    "arguments", ['{"no_such_argument": 1, "strategy": "plain"}', '{"strategy": "fast"}']
)
def test_arguments_that_a_class_does_not_take_are_told(
    model: Path, options: ScoringOptions, arguments: str
) -> None:
    with pytest.raises(InputError) as caught:
        load_lm(model, replace(options, backend_args=arguments))
    assert "fusegauge cannot be used" in caught.value.message
    assert "scoring.backend_args" in str(caught.value.remedy)


def test_a_class_whose_package_is_missing_says_what_to_do(model: Path, options: ScoringOptions) -> None:
    pytest.importorskip("lm_eval")
    try:
        import vllm  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        with pytest.raises(InputError, match="vllm cannot be used"):
            load_lm(model, replace(options, backend="vllm"))


def test_a_suites_choice_reaches_the_options_and_the_key() -> None:
    from harness.scoring.options import scoring_options
    from harness.suite.decides import parameters
    from harness.suite.run_options import RunOptions

    settings = RunOptions(mirror=None, offline=True)
    plain = scoring_options(load_suite("micro", ["scoring.backend=hf"]), settings)
    ours: Any = scoring_options(load_suite("micro", ["scoring.backend_args={strategy: plain}"]), settings)
    assert (plain.backend, ours.backend, ours.backend_args) == ("hf", "fusegauge", '{"strategy": "plain"}')
    changes = ((), ("scoring.backend=hf",), ("scoring.backend_args={strategy: plain}",))
    keys = [parameters("scoring", load_suite("micro", change).suite.scoring) for change in changes]
    assert len({str(key) for key in keys}) == 3
    with pytest.raises(SuiteError, match=r"scoring\.backnd"):
        load_suite("micro", ["scoring.backnd=hf"])
