"""Cost estimates for a suite's stages from the sizes of models and corpus, for `plan`. Pure functions.

FLOPs are computed as in harness.core.effort.
"""

from collections.abc import Iterator, Mapping
from typing import TypedDict

from fusion.vocabulary_rules import VOCABULARY_MAPS
from harness.core.effort import FORWARD, TRAINING, forward_flops, training_flops
from harness.suite.shorthand import training_name
from harness.suite.spec import BenchmarkSpec, LoadedSuite, ModelSpec, Suite

BYTES_PER_TOKEN = 3.5  # of text, for vocabularies of 30,000 to 260,000 tokens; English 4.3, code 3.2
EFFICIENCY = 0.6  # share of the measured matrix-product speed that whole models reach
ITEMS_UNKNOWN = 1000  # assumed items of a task without limit
CHOICE_TOKENS = 4 * 45  # of one multiple-choice item: four times context and answer
SHOT_TOKENS = 170  # of one worked example or question in a generation task
GENERATED_TOKENS = 256  # where the benchmark does not set max_gen_toks
GENERATED_WEIGHT = 2  # a generated token takes as long as this many prompt tokens
READ_BYTES_PER_SECOND = 2e6  # of text, cut into windows by several tokenizers
ALIGN_SECONDS_PER_TOKEN = 1e-5
FUSE_SECONDS_PER_TOKEN = 5e-5
FETCH_SECONDS = 60.0  # of a model that is fetched or converted: depends on the network
WORKING_MEMORY = 5 * 10**8  # interpreter, libraries, buffers
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
ADAM_BYTES = 16  # float32 per parameter: weight, gradient, two moments

ASSUMPTIONS = (
    f"{BYTES_PER_TOKEN} bytes of text a token; "
    f"{FORWARD} FLOPs per parameter and token read, {TRAINING} when trained; "
    f"{EFFICIENCY:.0%} of the measured matrix-product speed; float32 training with AdamW; "
    f"{ITEMS_UNKNOWN:,} items for a task without limit; downloads not counted"
)


class StageCost(TypedDict):
    """Estimated cost of a stage: `tokens` read or trained on, `memory_bytes` at the peak."""

    tokens: int
    flops: float
    disk_bytes: int
    memory_bytes: int
    seconds: float


def estimate(
    loaded: LoadedSuite, parameters: Mapping[str, int], corpus_bytes: int, flops_per_second: float
) -> dict[str, StageCost]:
    """Cost by stage name. `parameters`: model -> size; stages of models that are not in it are left out."""
    suite, speed = loaded.suite, flops_per_second * EFFICIENCY
    known = [m for m in (suite.target, *suite.sources) if m.name in parameters]
    costs = dict(_text_stages(suite, corpus_bytes))
    for model in known:
        costs |= _model_stages(model, suite, parameters[model.name], corpus_bytes, speed)
    if suite.target.name in parameters:
        costs |= _trained_stages(suite, parameters[suite.target.name], corpus_bytes, speed)
    return costs


def matmul_speed(device: str = "auto", seconds: float = 0.3) -> float:
    """Measured FLOP/s of a float32 matrix product on this machine: [512, 1024] x [1024, 1024], repeated."""
    from time import perf_counter

    import torch

    from fusion.models import pick_device

    place = pick_device(device)
    a, b = torch.randn(512, 1024, device=place), torch.randn(1024, 1024, device=place)
    (a @ b).sum().item()
    start, products = perf_counter(), 0
    while perf_counter() - start < seconds:
        (a @ b)[0, 0].item()  # waits for the device
        products += 1
    return products * 2 * a.shape[0] * b.numel() / (perf_counter() - start)


def corpus_tokens(corpus_bytes: int) -> int:
    return round(corpus_bytes / BYTES_PER_TOKEN)


def row_bytes(top_k: int) -> int:
    """Bytes of a stored token: k x (id, log-probability), leftover, gold log-probability, token, length."""
    return top_k * (2 + 2) + 2 + 2 + 2 + 1


def _cost(
    *, tokens: float = 0, flops: float = 0.0, disk: float = 0, memory: float = 0, seconds: float = 0.0
) -> StageCost:
    return StageCost(
        tokens=round(tokens),
        flops=float(flops),
        disk_bytes=round(disk),
        memory_bytes=round(memory + WORKING_MEMORY),
        seconds=float(seconds),
    )


def _text_stages(suite: Suite, corpus_bytes: int) -> Iterator[tuple[str, StageCost]]:
    """The stages that run no model: corpus, windows, vocabulary maps, alignments, fusion."""
    tokens, row = corpus_tokens(corpus_bytes), row_bytes(suite.fusion.top_k)
    reading = corpus_bytes / READ_BYTES_PER_SECOND
    yield "corpus", _cost(disk=corpus_bytes, memory=2 * corpus_bytes, seconds=reading)
    yield "windows", _cost(tokens=tokens, disk=corpus_bytes, memory=4 * corpus_bytes, seconds=reading)
    for source in suite.sources:
        yield f"vocabulary:{source.name}", _cost(seconds=VOCABULARY_MAPS[suite.fusion.vocabulary].seconds)
        yield f"alignment:{source.name}", _cost(disk=4 * tokens, seconds=tokens * ALIGN_SECONDS_PER_TOKEN)
    models = len(suite.sources) + suite.fusion.include_target
    yield "fusion", _cost(disk=row * tokens, seconds=tokens * models * FUSE_SECONDS_PER_TOKEN)


def _model_stages(
    model: ModelSpec, suite: Suite, size: int, corpus_bytes: int, speed: float
) -> dict[str, StageCost]:
    tokens, dtype = corpus_tokens(corpus_bytes), DTYPE_BYTES[suite.fusion.dtype]
    flops, disk = forward_flops(size, tokens), row_bytes(suite.fusion.top_k) * tokens
    read_at_once = min(tokens, suite.fusion.extraction_batch_tokens)
    memory = dtype * size + read_at_once * _activation_bytes(size) / 8  # without gradients, layers are freed
    costs = {
        f"model:{model.name}": _cost(disk=4 * size, memory=8 * size, seconds=FETCH_SECONDS),
        f"distributions:{model.name}": _cost(
            tokens=tokens, flops=flops, disk=disk, memory=memory, seconds=flops / speed
        ),
    }
    return costs | _scoring_stages(model.name, suite, size, speed)


def _trained_stages(suite: Suite, size: int, corpus_bytes: int, speed: float) -> dict[str, StageCost]:
    """Training and scoring of fused and control; every training reads the same tokens and costs the same."""
    seeds = suite.training_seeds
    kinds = ["fused", *(["control"] if "clm" in suite.controls else [])]
    names = [training_name(kind, seed, seeds) for seed in seeds for kind in kinds]
    costs = {f"training:{name}": _training(suite, size, corpus_bytes, speed) for name in names}
    for name in names:
        costs |= _scoring_stages(name, suite, size, speed)
    return costs


def _training(suite: Suite, size: int, corpus_bytes: int, speed: float) -> StageCost:
    settings = suite.training
    batch = int(settings.get("per_device_train_batch_size", 8)) * suite.fusion.block_size
    tokens = _trained_tokens(suite, corpus_bytes, batch)
    again = bool(settings.get("gradient_checkpointing") or settings.get("activation_checkpointing"))
    flops = training_flops(size, tokens, recomputed=again)
    activations = batch * _activation_bytes(size) / (8 if again else 1)
    return _cost(
        tokens=tokens,
        flops=flops,
        disk=4 * size,
        memory=ADAM_BYTES * size + activations,
        seconds=flops / speed,
    )


def _trained_tokens(suite: Suite, corpus_bytes: int, batch: int) -> float:
    settings = suite.training
    if int(settings.get("max_steps", 0)) > 0:
        return int(settings["max_steps"]) * batch * int(settings.get("gradient_accumulation_steps", 1))
    share = 1 - suite.corpus.evaluation_fraction
    return corpus_tokens(corpus_bytes) * share * float(settings.get("num_train_epochs", 3))  # 3: HF's default


def _activation_bytes(size: int) -> float:
    """Per token, kept for the backward pass: 68 bytes x width x layers in float32 (Korthikanti et al. 2022).

    With size = 12 width^2 layers and layers = width / 100, as is common: width = (8.3 size)^(1/3).
    """
    width: float = (8.3 * size) ** (1 / 3)
    return 68 * width * width / 100


def _scoring_stages(name: str, suite: Suite, size: int, speed: float) -> dict[str, StageCost]:
    benchmarks = [b for rows in suite.benchmarks.values() for b in rows]
    return {f"scoring:{name}:{b.name}": _scoring(b, suite, size, speed) for b in benchmarks}


def _scoring(benchmark: BenchmarkSpec, suite: Suite, size: int, speed: float) -> StageCost:
    items = len(benchmark.tasks) * (benchmark.limit or ITEMS_UNKNOWN)
    read, generated = _item_tokens(benchmark)
    tokens, weighted = items * (read + generated), items * (read + GENERATED_WEIGHT * generated)
    return _cost(
        tokens=tokens,
        flops=forward_flops(size, tokens),
        disk=items * 2000,
        memory=DTYPE_BYTES[suite.scoring.dtype] * size,
        seconds=forward_flops(size, weighted) / speed,
    )


def _item_tokens(benchmark: BenchmarkSpec) -> tuple[int, int]:
    """(tokens read, tokens generated) for one item. Accuracy metrics are assumed to mean multiple choice."""
    shots = (benchmark.num_fewshot or 0) + 1
    if any(metric.startswith("acc") for metric in benchmark.metrics):
        return CHOICE_TOKENS * shots, 0
    generated = int(benchmark.gen_kwargs.get("max_gen_toks", GENERATED_TOKENS))
    return SHOT_TOKENS * shots, generated
