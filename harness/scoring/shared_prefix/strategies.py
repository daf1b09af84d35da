"""Strategies for reading a model, by architecture.

    tree    many sequences in one row (`reader.TreeReader`); also generates
    reuse   the model's own attention behind a cached context (`reuse.ReuseReader`)
    plain   lm-eval's own Hugging Face backend

An architecture is on a list only if a test compares it with the plain forward pass; each model must also pass
the self-check (`self_check`) before the strategy is used.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from fusion.decoder import Decoder, split_model
from fusion.errors import FusionError
from harness.scoring.shared_prefix.packed_linear import pack_linears, packable, unpack_linears
from harness.scoring.shared_prefix.reader import Reader, TreeReader
from harness.scoring.shared_prefix.reuse import ReuseReader
from harness.scoring.shared_prefix.self_check import CONTEXT, Expected, disagreement, proof_cases

Strategy = Literal["tree", "reuse", "plain"]
Asked = Literal["auto", "tree", "reuse", "plain"]

TREE = {
    *("gemma2", "gemma3_text", "gpt2", "gpt_neox", "llama", "mistral", "olmo2", "opt"),
    *("phi", "phi3", "qwen2", "qwen3", "smollm3", "starcoder2"),
}
REUSE = TREE | {"bloom", "mpt"}
READERS: dict[Strategy, Callable[[Decoder], Any]] = {"tree": TreeReader, "reuse": ReuseReader}
GROWING_ROPE = {"dynamic", "longrope"}  # rotary factors change for all tokens when a sequence grows longer


@dataclass(frozen=True)
class Chosen:
    """The strategy, its reader (None: plain), and the reason why a faster one is not used, for example that
    it failed the self-check or that the architecture is on no list."""

    strategy: Strategy
    reader: Reader | None
    reason: str = ""


def choose(model: Any, asked: Asked, *, pack_weights: bool = True) -> Chosen:
    """The fastest strategy, or the one asked for, if it gives this model's own numbers; else plain.

    With `pack_weights` the model's linear layers are replaced (`packed_linear`) where it runs on a CPU.
    """
    problems = [problem] if (problem := _unsupported(model)) else []
    for strategy in [] if problems or asked == "plain" else _listed(model.config.model_type, asked):
        reader, problem = _proven(model, strategy, pack_weights)
        if reader is not None:
            return Chosen(strategy, reader, "; ".join(problems))
        problems.append(problem)
    if not problems and asked != "plain":
        kind = "any strategy" if asked == "auto" else asked
        problems.append(f"{model.config.model_type} is not among the architectures proven for {kind}")
    return Chosen("plain", None, "; ".join(problems))


def _listed(architecture: str, asked: Asked) -> list[Strategy]:
    """The strategies listed for an architecture, fastest first."""
    lists: list[tuple[Strategy, set[str]]] = [("tree", TREE), ("reuse", REUSE)]
    return [name for name, members in lists if asked in ("auto", name) and architecture in members]


def _unsupported(model: Any) -> str:
    """Why only the plain strategy can be used for this model; empty if there is no reason."""
    if len(set(getattr(model, "hf_device_map", {}).values())) > 1:
        return "the model is spread over several devices"
    if getattr(model.config, "is_encoder_decoder", False):
        return "the model has an encoder"
    return ""


def _proven(model: Any, strategy: Strategy, pack_weights: bool) -> tuple[Reader | None, str]:
    """A reader that agrees with the plain forward, with packed weights if it can; or why there is none."""
    try:
        decoder = split_model(model)
    except FusionError as error:
        return None, error.message
    expected = Expected(decoder, proof_cases(model.config.vocab_size, CONTEXT))
    reader: Reader = READERS[strategy](decoder)
    if pack_weights and packable(model):
        pack_linears(model)
        if not disagreement(reader, expected):
            return reader, ""
        unpack_linears(model)
    problem = disagreement(reader, expected)
    return (None, f"{strategy}: {problem}") if problem else (reader, "")


def sliding_window(config: Any) -> int | None:
    """Tokens that a layer with a sliding window sees; None where no layer has one."""
    window = getattr(config, "sliding_window", None)
    return int(window) if window else None


def rope_limit(config: Any) -> int | None:
    """The longest sequence for which rotary factors stay what they are for short ones; None: any.

    Beyond, keys that were cached for a short text are not those of a long one.
    """
    limits = [
        int(rope.get("original_max_position_embeddings") or config.max_position_embeddings)
        for rope in _ropes(getattr(config, "rope_parameters", None))
        if rope["rope_type"] in GROWING_ROPE
    ]
    return min(limits, default=None)


def _ropes(parameters: Any) -> Iterator[dict[str, Any]]:
    """A model's rotary parameters: one set, or one for each kind of layer."""
    if isinstance(parameters, dict) and "rope_type" in parameters:
        yield parameters
    elif isinstance(parameters, dict):
        for inner in parameters.values():
            yield from _ropes(inner)
