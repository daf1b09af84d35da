"""A run as the runner leaves it, made of drawn items: for the tests of report, regression and tracking.

Every model answers the same items; an item's difficulty is shared, so models agree more than by chance.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from harness.comparison.compare import compare
from harness.core.effort import gains_per_token, model_effort
from harness.core.record import BenchmarkEntry, Item, ModelEntry, Role, RunRecord, StageEntry, TrainingCurve
from harness.core.run_files import items_path, write_items
from harness.suite.spec import BenchmarkSpec, ComparisonSpec, CorpusSpec, ModelSpec, Suite

MODELS = (
    ("tiny-llama", Role.TARGET),
    ("logic-llama", Role.SOURCE),
    ("facts-neox", Role.SOURCE),
    ("clm", Role.CONTROL),
    ("fused", Role.FUSED),
)
SIZE = 1_048_576  # parameters of every model
NAMES = tuple(name for name, _ in MODELS)
# benchmark -> (capability, metrics, the models' true accuracies in MODELS' order)
BENCHMARKS: Mapping[str, tuple[str, tuple[str, ...], tuple[float, ...]]] = {
    "syllogisms": ("reasoning", ("acc",), (0.35, 0.85, 0.30, 0.45, 0.70)),
    "capitals": ("commonsense", ("acc_norm", "acc"), (0.25, 0.30, 0.95, 0.40, 0.72)),
    "materials": ("commonsense", ("acc_norm", "acc"), (0.30, 0.35, 0.92, 0.40, 0.68)),
    "small_functions": ("code", ("pass@1",), (0.20, 0.40, 0.15, 0.50, 0.40)),
}
ANSWERS = {
    "reasoning": ("No, some <b>bloops</b> are not razzies & never were.", "(A)", "(B)"),
    "commonsense": ("Which city is the capital of Perovia?", "Aldmark", "Brenn"),
    "code": (
        'def count_below(xs: list[int], n: int) -> int:\n    """How many of xs are < n."""\n',
        "    return sum(x < n for x in xs)\n",
        "    return len([x for x in xs if x > n])\n",
    ),
}


def sample_run(
    folder: Path,
    *,
    seed: int = 0,
    luck: int = 0,
    items: int = 60,
    accuracies: Mapping[str, tuple[float, ...]] | None = None,
    run: str = "sample-20260102-030405",
) -> RunRecord:
    """Write `folder`/run.json and items; `accuracies` (benchmark -> one per model) replaces the defaults.

    `seed` draws the items, `luck` what models make of them: another luck is another training.
    """
    chosen = {name: (accuracies or {}).get(name, entry[2]) for name, entry in BENCHMARKS.items()}
    drawn = {name: draw_items(name, chosen[name], items, seed, luck) for name in BENCHMARKS}
    for benchmark, by_model in drawn.items():
        for model, scored in by_model.items():
            write_items(items_path(folder, benchmark, model), scored)
    record = _record(run, drawn, items)
    (folder / "run.json").write_text(record.model_dump_json(indent=1), encoding="utf-8")
    return record


def draw_items(
    benchmark: str, accuracies: tuple[float, ...], n: int, seed: int, luck: int = 0
) -> dict[str, list[Item]]:
    """n items per model; an answer is decided half by the item's difficulty, half by the model's own luck."""
    rng = np.random.default_rng([seed, *benchmark.encode()])
    difficulty = rng.normal(size=n)
    rng = np.random.default_rng([seed, luck, *benchmark.encode()])
    return {
        model: _scored(benchmark, accuracy, difficulty, rng)
        for model, accuracy in zip(NAMES, accuracies, strict=True)
    }


def _scored(benchmark: str, accuracy: float, difficulty: np.ndarray, rng: np.random.Generator) -> list[Item]:
    from scipy.stats import norm

    luck = rng.normal(size=difficulty.size)
    latent = (difficulty + luck) / np.sqrt(2)  # standard normal, correlation 1/2 between models
    right = latent < norm.ppf(accuracy)
    bits = np.clip(2.2 - 1.5 * accuracy + 0.25 * latent, 0.05, None)
    return [_item(benchmark, i, bool(right[i]), float(bits[i])) for i in range(difficulty.size)]


def _item(benchmark: str, index: int, right: bool, bits: float) -> Item:
    capability, metrics, _ = BENCHMARKS[benchmark]
    prompt, gold, wrong = ANSWERS[capability]
    scores = {metric: float(right) for metric in metrics}
    if "acc" in scores and len(scores) > 1:
        scores["acc"] = float(right and index % 7 > 0)
    return Item(
        item=f"{benchmark}-{index:04d}",
        task=benchmark,
        scores=scores,
        prediction=gold if right else wrong,
        gold=gold,
        prompt=f"{prompt} [{index}]",
        bits_per_byte=bits,
        gold_bytes=len(gold.encode()),
    )


def sample_benchmarks(items: int) -> tuple[BenchmarkEntry, ...]:
    """The benchmarks as a record describes them."""
    return tuple(
        BenchmarkEntry(
            name=name,
            capability=capability,
            tasks=(name,),
            num_fewshot=0,
            limit=items,
            metrics=metrics,
            fingerprint=f"{name}-v1-{items}",
            items=items,
            executed="subprocess" if capability == "code" else "",
        )
        for name, (capability, metrics, _) in BENCHMARKS.items()
    )


def _record(run: str, drawn: Mapping[str, Mapping[str, list[Item]]], items: int) -> RunRecord:
    suite = _suite(items)
    benchmarks = sample_benchmarks(items)
    training = (_curve("clm", 0.0), _curve("fused", 0.35))
    comparison = compare(drawn, MODELS, benchmarks, suite.comparison)
    return RunRecord(
        run=run,
        suite=suite.model_dump(mode="json"),
        overrides=("training.max_steps=400",),
        created=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        seed=0,
        versions={"fusegauge": "0.1.0", "python": "3.11.2", "torch": "2.13.0", "lm_eval": "0.4.13"},
        hardware={"machine": "x86_64", "cores": 2, "memory_bytes": 8_000_000_000, "device": "cpu"},
        models=tuple(_model(name, role) for name, role in MODELS),
        benchmarks=benchmarks,
        stages=_stages(),
        training=training,
        coverage={
            "logic-llama": {"positions": 88.6, "mass": 93.1},
            "facts-neox": {"positions": 84.2, "mass": 90.4},
        },
        attribution={"logic-llama": 41.5, "facts-neox": 38.0, "tiny-llama": 14.1, "none": 6.4},
        attribution_by_part={
            "code": {"logic-llama": 20.5, "facts-neox": 30.0, "tiny-llama": 49.5},
            "text": {"logic-llama": 46.0, "facts-neox": 44.0, "tiny-llama": 10.0},
        },
        comparison=comparison,
        gains=tuple(gains_per_token(comparison, training)),
        notes=("The corpus has 400 documents; each was read 12 times.",),
    )


def _suite(items: int) -> Suite:
    benchmarks: dict[str, tuple[BenchmarkSpec, ...]] = {}
    for name, (capability, metrics, _) in BENCHMARKS.items():
        spec = BenchmarkSpec(
            name=name, tasks=(name,), limit=items, metrics=metrics, executes_code=capability == "code"
        )
        benchmarks[capability] = (*benchmarks.get(capability, ()), spec)
    return Suite(
        version=1,
        name="sample",
        description="Drawn items, for tests",
        target=ModelSpec(name="tiny-llama", model="models/tiny-llama"),
        sources=tuple(ModelSpec(name=n, model=f"models/{n}") for n in ("logic-llama", "facts-neox")),
        corpus=CorpusSpec(kind="generated", generator="micro", documents=400),
        training={"max_steps": 400, "learning_rate": 1e-3},
        benchmarks=benchmarks,
        comparison=ComparisonSpec(resamples=500),
    )


def _model(name: str, role: Role) -> ModelEntry:
    return ModelEntry(
        name=name,
        role=role,
        reference=f"models/{name}",
        fingerprint=name.encode().hex().ljust(64, "0"),
        parameters=SIZE,
    )


def _stages() -> tuple[StageEntry, ...]:
    facts = {
        "corpus": {"documents": 400, "bytes": 310_000},
        "distributions:logic-llama": {"tokens": 77_000},
        "fuse": {"positions": 76_600},
        "training:clm": {"tokens": 1_800_000},
        "training:fused": {"tokens": 1_800_000},
        "scoring:fused": {"items": 240, "tokens_read": 21_000},
    }
    return tuple(
        StageEntry(
            name=n,
            key=f"{i:08x}",
            seconds=2.5 + 17 * i,
            reused=i < 2,
            bytes=1_500_000 * i,
            facts=f,
            memory_bytes=None if i < 2 else 300_000_000 + 50_000_000 * i,
            **model_effort(n, f, dict.fromkeys(NAMES, SIZE)),
        )
        for i, (n, f) in enumerate(facts.items())
    )


def _curve(model: str, teaching: float) -> TrainingCurve:
    """A loss that falls from 3.2 to about 1.2, with what the Trainer logs beside it."""
    points = []
    for step in range(10, 401, 10):
        lm = 1.2 + 0.3 * teaching + 2.0 * float(np.exp(-step / 90)) + 0.04 * float(np.sin(step))
        point = {"step": float(step), "loss": lm, "learning_rate": 1e-3 * (1 - step / 400)}
        if teaching:
            point |= {"causal_lm_loss": lm + 0.2, "fusion_loss": lm - teaching}
        if step % 100 == 0:
            point["eval_loss"] = lm + 0.15
        points.append(point)
    return TrainingCurve(model=model, tokens=1_800_000, points=tuple(points))
