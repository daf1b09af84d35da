"""Self-check of a reader against the plain forward pass, on a few requests of random tokens.

In float32 any wrong mask, position or cache shows. In half precision the plain forward itself is rounded, and
only what changes more than rounding shows; which architectures are read how is decided by tests in float32.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fusion.decoder import Decoder
from harness.core.exceptions import first_line
from harness.scoring.shared_prefix.generation import Prompt, generate
from harness.scoring.shared_prefix.loglikelihood import Request, score
from harness.scoring.shared_prefix.memory import Capacity
from harness.scoring.shared_prefix.prefixes import Tokens
from harness.scoring.shared_prefix.reader import Reader, TreeReader

EXACT = 1e-3  # nats an answer; float32 rounds far below
ROUNDED = 0.1  # nats a token; what bfloat16 and float16 round, at least
NOISE = 3  # times what rounding changes when the same is read in a batch and alone
CONTEXT, ANSWER, GENERATED = 40, 4, 3  # tokens of the requests
PACK = CONTEXT // 3  # tokens: smaller than a context, so that a trunk is grown in pieces


def proof_cases(vocabulary: int, context: int) -> list[Tokens]:
    """Three sequences [context + ANSWER]: one context, answers that part at once or halfway."""
    rng = np.random.default_rng(0)
    trunk = rng.integers(0, vocabulary, context)
    first, second = rng.integers(0, vocabulary, (2, ANSWER))
    third = np.concatenate([first[: ANSWER // 2], second[ANSWER // 2 :]])
    return [np.concatenate([trunk, answer]) for answer in (first, second, third)]


class Expected:
    """Results of the plain forward pass for some cases, with tolerances."""

    def __init__(self, decoder: Decoder, cases: Sequence[Tokens]) -> None:
        self.cases = cases
        self.scores = [_answer_score(decoder, case) for case in cases]
        self.tolerance = EXACT
        if decoder.model.get_input_embeddings().weight.dtype not in (torch.float32, torch.float64):
            batched = _last_log_probabilities(decoder, cases, ANSWER)
            noise = max(
                abs(_score(logs, c) - s) for logs, c, s in zip(batched, cases, self.scores, strict=True)
            )
            self.tolerance = max(ROUNDED * ANSWER, NOISE * noise)


def disagreement(reader: Reader, expected: Expected) -> str:
    """How a reader differs from the plain forward pass; empty if it does not."""
    try:
        worst = _score_difference(reader, expected)
        if not worst <= expected.tolerance:
            return f"log-likelihoods differ by {worst:.2g} from the plain forward"
        if isinstance(reader, TreeReader):
            worst = _generation_regret(reader, expected.cases)
            if not worst <= expected.tolerance:
                return f"a generated token is {worst:.2g} nats less likely than the plain forward's"
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as error:
        return f"{type(error).__name__}: {first_line(error)}"
    return ""


def window_disagreement(reader: Reader, window: int) -> str:
    """As `disagreement`, with a context longer than the attention's sliding window."""
    decoder = reader.decoder
    try:
        expected = Expected(decoder, proof_cases(decoder.model.config.vocab_size, window + CONTEXT)[:2])
    except RuntimeError as error:  # memory
        return f"{type(error).__name__}: {first_line(error)}"
    return disagreement(reader, expected)


def _score_difference(reader: Reader, expected: Expected) -> float:
    found: dict[int, float] = {}
    score(
        reader,
        [Request(case[:-1], case[-ANSWER:]) for case in expected.cases],
        pack_tokens=_pack(expected.cases),
        logits_at_once=2,
        done=lambda i, result: found.__setitem__(i, result[0]),
    )
    return max(abs(found[i] - value) for i, value in enumerate(expected.scores))


def _generation_regret(reader: TreeReader, cases: Sequence[Tokens]) -> float:
    """By how much the plain forward prefers its own next token to the generated one, at most."""
    said: dict[int, list[int]] = {}
    prompts = [Prompt(case, GENERATED, lambda _: False) for case in cases]
    generate(reader, prompts, Capacity(_pack(cases), 8, 2, 2, 1 << 20), said.__setitem__)
    regret = 0.0
    for i, case in enumerate(cases):
        whole = np.concatenate([case, said[i]])
        logs = _last_log_probabilities(reader.decoder, [whole], GENERATED)[0]
        own = logs.gather(-1, torch.tensor(said[i], device=logs.device)[:, None])[:, 0]
        regret = max(regret, float((logs.max(dim=-1).values - own).max()))
    return regret


def _pack(cases: Sequence[Tokens]) -> int:
    return max(PACK, len(cases[0]) // 4)


def _answer_score(decoder: Decoder, case: Tokens) -> float:
    return _score(_last_log_probabilities(decoder, [case], ANSWER)[0], case)


def _score(logs: Tensor, case: Tokens) -> float:
    """Log-likelihood of a case's answer from its rows [ANSWER, V]."""
    answer = torch.from_numpy(case[-ANSWER:]).to(logs.device)
    return float(logs.gather(-1, answer[:, None]).double().cpu().sum())


@torch.inference_mode()
def _last_log_probabilities(decoder: Decoder, sequences: Sequence[Tokens], count: int) -> Tensor:
    """[B, count, V]: of the last `count` tokens of equally long sequences, by the model's own attention."""
    device = decoder.model.get_input_embeddings().weight.device
    tokens = torch.from_numpy(np.stack(sequences)).to(device)
    hidden = decoder.hidden(tokens, torch.ones_like(tokens))[:, -count - 1 : -1]
    return torch.log_softmax(decoder.logits(hidden).float(), dim=-1)
