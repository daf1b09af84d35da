"""How a model is read, by its architecture, and the proof at start-up that reading so changes nothing.

    tree    many sequences in one row (`reader.TreeReader`); also generates
    reuse   the model's own attention behind a cached context (`reuse.ReuseReader`)
    plain   lm-eval's own Hugging Face backend

An architecture is on a list only if a test holds it to the plain forward; even so each model proves itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from fusion.decoder import Decoder, split_model
from fusion.errors import FusionError
from harness.scoring.shared_prefix.generation import Prompt, generate
from harness.scoring.shared_prefix.loglikelihood import Request, score
from harness.scoring.shared_prefix.memory import Capacity
from harness.scoring.shared_prefix.packed_linear import pack_linears, packable, unpack_linears
from harness.scoring.shared_prefix.prefixes import Tokens
from harness.scoring.shared_prefix.reader import ModelOnDevice, Reader, TreeReader
from harness.scoring.shared_prefix.reuse import ReuseReader

Strategy = Literal["tree", "reuse", "plain"]
Asked = Literal["auto", "tree", "reuse", "plain"]

TREE = {
    *("gemma2", "gemma3_text", "gpt2", "gpt_neox", "llama", "mistral", "olmo2", "opt"),
    *("phi", "phi3", "qwen2", "qwen3", "smollm3", "starcoder2"),
}
REUSE = TREE | {"bloom", "mpt"}
READERS: dict[Strategy, Callable[[Decoder], Any]] = {"tree": TreeReader, "reuse": ReuseReader}

EXACT = 1e-3  # nats; float32 rounds a sum of a few tokens far below
ROUNDED = 0.3  # nats a token; what bfloat16 and float16 may round. A mask that is wrong changes more
CONTEXT, ANSWER, GENERATED = 40, 4, 3  # tokens of the requests that prove a model


@dataclass(frozen=True)
class Chosen:
    """The strategy, its reader (None: plain), and what spoke against a faster one that this architecture
    is listed for; an architecture on no list has that as its reason to be read plainly."""

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
        problems.append(f"{model.config.model_type} is not on the list of proven architectures")
    return Chosen("plain", None, "; ".join(problems))


def _listed(architecture: str, asked: Asked) -> list[Strategy]:
    """What an architecture is listed for, fastest first."""
    lists: list[tuple[Strategy, set[str]]] = [("tree", TREE), ("reuse", REUSE)]
    return [name for name, members in lists if asked in ("auto", name) and architecture in members]


def _unsupported(model: Any) -> str:
    """What keeps any strategy but plain from this model; empty where nothing does."""
    if len(set(getattr(model, "hf_device_map", {}).values())) > 1:
        return "the model is spread over several devices"
    if getattr(model.config, "is_encoder_decoder", False):
        return "the model has an encoder"
    return ""


def _proven(model: Any, strategy: Strategy, pack_weights: bool) -> tuple[Reader | None, str]:
    """A reader that agrees with the plain forward, or why there is none."""
    cases = proof_cases(model.config.vocab_size, CONTEXT)
    expected = plain_log_probabilities(model, cases)
    try:
        decoder = split_model(model)
    except FusionError as error:
        return None, error.message
    originals = pack_linears(model) if pack_weights and packable(model) else {}
    reader = READERS[strategy](decoder)
    problem = disagreement(reader, cases, expected)
    if problem:
        unpack_linears(model, originals)
        return None, f"{strategy}: {problem}"
    return reader, ""


def proof_cases(vocabulary: int, context: int) -> list[Tokens]:
    """Three sequences [context + ANSWER]: one context, answers that part at once or halfway."""
    rng = np.random.default_rng(0)
    trunk = rng.integers(0, vocabulary, context)
    first, second = rng.integers(0, vocabulary, (2, ANSWER))
    third = np.concatenate([first[: ANSWER // 2], second[ANSWER // 2 :]])
    return [np.concatenate([trunk, answer]) for answer in (first, second, third)]


@torch.inference_mode()
def plain_log_probabilities(model: Any, sequences: Sequence[Tokens]) -> Tensor:
    """[B, L, V] of equally long sequences, by the model's own forward."""
    device = model.get_input_embeddings().weight.device
    logits = model(torch.from_numpy(np.stack(sequences)).to(device), use_cache=False).logits
    return torch.log_softmax(logits.float(), dim=-1)


def disagreement(reader: Reader, cases: Sequence[Tokens], expected: Tensor) -> str:
    """In what a reader differs from the plain forward; empty where in nothing."""
    tolerance = EXACT if expected_exact(reader) else ROUNDED * ANSWER
    try:
        worst = _score_difference(reader, cases, expected)
        if not worst <= tolerance:
            return f"log-likelihoods differ by {worst:.2g} from the plain forward"
        if isinstance(reader, TreeReader):
            worst = _generation_regret(reader, cases)
            if not worst <= tolerance:
                return f"a generated token is {worst:.2g} nats less likely than the plain forward's"
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return ""


def expected_exact(reader: Reader) -> bool:
    """Whether the model computes in float32 or better."""
    return reader.decoder.model.get_input_embeddings().weight.dtype in (torch.float32, torch.float64)


def _score_difference(reader: Reader, cases: Sequence[Tokens], expected: Tensor) -> float:
    found: dict[int, float] = {}
    requests = [Request(case[:-1], case[-ANSWER:]) for case in cases]
    # packs smaller than the context, so that a trunk is grown in pieces
    score(
        reader, requests, pack_tokens=CONTEXT // 3, logits_at_once=2,
        done=lambda i, result: found.__setitem__(i, result[0]),
    )  # fmt: skip
    places = torch.arange(-ANSWER - 1, -1)
    theirs = [
        float(expected[i, places, torch.from_numpy(case[-ANSWER:])].double().sum())
        for i, case in enumerate(cases)
    ]
    return max(abs(found[i] - value) for i, value in enumerate(theirs))


def _generation_regret(reader: TreeReader, cases: Sequence[Tokens]) -> float:
    """By how much the plain forward prefers its own next token to the generated one, at most."""
    said: dict[int, list[int]] = {}
    prompts = [Prompt(case, GENERATED, lambda _: False) for case in cases]
    generate(reader, prompts, Capacity(CONTEXT // 3, 8, 2, 2, 1 << 20), said.__setitem__)
    whole = [np.concatenate([case, said[i]]) for i, case in enumerate(cases)]
    logs = plain_log_probabilities(reader.model, whole)[:, -GENERATED - 1 : -1]
    chosen = torch.tensor([said[i] for i in range(len(cases))], device=logs.device)
    own = logs.gather(-1, chosen[..., None])[..., 0]
    return float((logs.max(dim=-1).values - own).max())


def prove_window(reader: Reader, window: int) -> str:
    """As at start-up, with a context longer than the attention's sliding window."""
    assert isinstance(reader, ModelOnDevice)
    cases = proof_cases(reader.model.config.vocab_size, window + CONTEXT)
    return disagreement(reader, cases, plain_log_probabilities(reader.model, cases))


def sliding_window(config: Any) -> int | None:
    """Tokens that a layer with a sliding window sees; None where no layer has one."""
    window = getattr(config, "sliding_window", None)
    return int(window) if window else None
