"""The model class `fusegauge`: lm-eval's Hugging Face backend, with every distinct token computed once.

What tokenises, cuts to the window, applies chat templates and post-processes is lm-eval's own, inherited; so
are its arguments. Only `_loglikelihood_tokens` and `generate_until` go other ways to the same numbers.
"""

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, get_args

import numpy as np
from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from tqdm import tqdm  # type: ignore[import-untyped]

from harness.core.environment import replaced
from harness.core.exceptions import nearest
from harness.scoring.shared_prefix import NAME
from harness.scoring.shared_prefix.generation import Prompt, generate
from harness.scoring.shared_prefix.loglikelihood import Request, Score, score
from harness.scoring.shared_prefix.memory import Capacity, capacity, with_less
from harness.scoring.shared_prefix.reader import Reader, TreeReader
from harness.scoring.shared_prefix.self_check import window_disagreement
from harness.scoring.shared_prefix.strategies import Asked, Chosen, choose, rope_limit, sliding_window

STRATEGIES = get_args(Asked)
ALL_WINDOWS = 1 << 30
_LOG = logging.getLogger("lm_eval.fusegauge")
# Of a generation config: what greedy generation up to a length does not look at, or is looked at here.
_WITHOUT_EFFECT = {
    *("bos_token_id", "eos_token_id", "pad_token_id", "max_length"),
    *("do_sample", "temperature", "top_k", "top_p"),
    *("use_cache", "cache_implementation", "output_attentions", "output_hidden_states"),
    *("_from_model_config", "transformers_version"),
}

Encoded = tuple[tuple[str, str] | None, list[int], list[int]]  # (request, context, continuation)


@register_model(NAME)
class SharedPrefixLM(HFLM):  # type: ignore[misc]
    """HFLM's arguments, and:

    Args:
        strategy: "auto", or one of "tree", "reuse" and "plain" (see `strategies`).
        pack_weights: lay weights out for oneDNN where the model runs on a CPU in float32 (`packed_linear`);
            a model that is given as an object is left as it is.

    Attributes:
        chosen: the strategy that proved itself for this model.
        told: fallbacks to a slower way and their reasons, one sentence each.
    """

    def __init__(
        self,
        pretrained: Any,
        *args: Any,
        strategy: Asked = "auto",
        pack_weights: bool = True,
        **settings: Any,
    ) -> None:
        if strategy not in STRATEGIES:
            known = ", ".join(STRATEGIES)
            raise ValueError(f"strategy {strategy!r}{nearest(strategy, STRATEGIES)} is none of {known}")
        super().__init__(pretrained, *args, **settings)
        config = self.model.config.get_text_config()
        self.told: list[str] = []
        self._parameters = self.model.num_parameters()
        self._capacity: Capacity | None = None
        self._window = sliding_window(config)  # None: nothing left to prove
        self._rope_limit = rope_limit(config)
        self.chosen = self._choose(strategy, pack_weights and isinstance(pretrained, str))
        if self.chosen.reason:
            self._tell(f"reads by the {self.chosen.strategy} strategy: {self.chosen.reason}")

    def _choose(self, strategy: Asked, pack_weights: bool) -> Chosen:
        if self.backend != "causal":
            return Chosen("plain", None, "not a causal language model")
        if self.mixed_precision_dtype is not None:
            return Chosen("plain", None, "mixed precision")
        return choose(self.model, strategy, pack_weights=pack_weights)

    @property
    def manages_memory(self) -> bool:
        """Whether batch sizes are found here; `batch_size` counts for the plain backend alone."""
        return self.chosen.reader is not None

    def get_model_info(self) -> dict[str, Any]:
        """lm-eval's, with the parameters that the model had before its layers were replaced."""
        return {**super().get_model_info(), "model_num_parameters": self._parameters}

    # --- log-likelihoods

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[Score]:
        """As the parent's, but a context is tokenised once for all of its document's answers."""
        self.__dict__["tok_encode"] = lru_cache(maxsize=4)(self.tok_encode)
        try:
            answers: list[Score] = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        finally:
            del self.__dict__["tok_encode"]  # restoring it as an attribute would make a reference cycle
        return answers

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """As the parent's; where memory is managed here, all windows are asked for together."""
        together = ALL_WINDOWS if self.manages_memory else self.batch_size_per_gpu
        with replaced(self, "batch_size_per_gpu", together):
            answers: list[float] = super().loglikelihood_rolling(requests, disable_tqdm=disable_tqdm)
        return answers

    def _loglikelihood_tokens(
        self, requests: Sequence[Encoded], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[Score]:
        for _, context, continuation in requests:  # as the parent demands it, batch by batch
            assert context, "there is no context to go on from"
            assert continuation, "there is nothing to score"
            assert len(continuation) <= self.max_length, "the continuation is longer than the model's window"
        cut = sum(len(context) + len(answer) > self.max_length + 1 for _, context, answer in requests)
        if cut:
            _LOG.warning("%d requests are longer than %d tokens: cut from the left", cut, self.max_length)
        inputs = [Request.of(context, answer, self.max_length) for _, context, answer in requests]
        reader = self._reader_for(max((len(r.tokens) for r in inputs), default=0))
        if reader is None:
            plain: list[Score] = super()._loglikelihood_tokens(requests, disable_tqdm, override_bs)
            return plain
        found: dict[int, Score] = {}
        with self._bar("Running loglikelihood requests", len(requests), disable_tqdm) as bar:

            def done(index: int, answer: Score) -> None:
                found[index] = answer
                if requests[index][0] is not None:
                    self.cache_hook.add_partial("loglikelihood", requests[index][0], answer)
                bar.update()

            def work(now: Capacity) -> None:
                left = [i for i in range(len(inputs)) if i not in found]
                score(
                    reader,
                    [inputs[i] for i in left],
                    pack_tokens=now.pack_tokens,
                    logits_at_once=now.logits_at_once,
                    done=lambda i, answer: done(left[i], answer),
                )

            self._within_memory(work)
        return [found[i] for i in range(len(inputs))]

    # --- generation

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Generate: greedy requests in rows that stop individually; sampling and beams by the parent."""
        prompts = self._greedy_prompts(requests)
        reader = self._reader_for(max((len(p.tokens) + p.most for p in prompts.values()), default=0))
        if reader is None:
            prompts = {}
        others = [i for i in range(len(requests)) if i not in prompts]
        texts: dict[int, str] = {}
        if isinstance(reader, TreeReader):
            texts = self._generate(reader, requests, prompts, disable_tqdm)
        if others:
            plain = super().generate_until([requests[i] for i in others], disable_tqdm=disable_tqdm)
            texts |= dict(zip(others, plain, strict=True))
        return [texts[i] for i in range(len(requests))]

    def _generate(
        self, reader: TreeReader, requests: Sequence[Any], prompts: dict[int, Prompt], disable_tqdm: bool
    ) -> dict[int, str]:
        texts: dict[int, str] = {}
        with self._bar("Running generate_until requests", len(prompts), disable_tqdm) as bar:

            def done(index: int, tokens: list[int]) -> None:
                context, settings = requests[index].args
                texts[index] = self._finished_text(tokens, settings)
                self.cache_hook.add_partial("generate_until", (context, settings), texts[index])
                bar.update()

            def work(now: Capacity) -> None:
                left = [i for i in prompts if i not in texts]
                generate(reader, [prompts[i] for i in left], now, lambda i, tokens: done(left[i], tokens))

            self._within_memory(work)
        return texts

    def _greedy_prompts(self, requests: Sequence[Any]) -> dict[int, Prompt]:
        """The requests that rows can answer, by place."""
        if not isinstance(self.chosen.reader, TreeReader):
            return {}
        asked = {i: r.args for i, r in enumerate(requests) if r.args[0] and self._is_greedy(r.args[1])}
        return {i: self._prompt(*arguments) for i, arguments in asked.items()}

    def _is_greedy(self, settings: dict[str, Any]) -> bool:
        """Whether the request is plain greedy decoding, and the prompt leaves room for the answer."""
        own = set(self.model.generation_config.to_diff_dict()) - _WITHOUT_EFFECT
        if own or isinstance(self.think_end_token, int):
            because = f"its generation config sets {', '.join(sorted(own))}" if own else "of think_end_token"
            self._tell(f"generates by lm-eval's own code, because {because}")
            return False
        wanted = normalize_gen_kwargs(settings, self.max_gen_toks)
        others = set(wanted) - {"until", "max_gen_toks", "do_sample", "temperature"}
        room = 0 < wanted["max_gen_toks"] < self.max_length
        return not others and room and not wanted.get("do_sample") and not wanted.get("temperature")

    def _prompt(self, context: str, settings: dict[str, Any]) -> Prompt:
        most = int(normalize_gen_kwargs(settings, self.max_gen_toks)["max_gen_toks"])
        tokens, _ = self.tok_batch_encode(
            [context], left_truncate_len=self.max_length - most, truncation=self.truncation
        )
        return Prompt(tokens[0].numpy().astype(np.int64), most, self._stopped(self._until(settings)))

    def _until(self, settings: dict[str, Any]) -> list[str]:
        """Stop strings, including the end-of-text token, as in the parent class."""
        until = normalize_gen_kwargs(settings, self.max_gen_toks).get("until")
        stops: list[str] = handle_stop_sequences(
            until, eos=self.tok_decode(self.eot_token_id, skip_special_tokens=False)
        )
        return stops

    def _stopped(self, stops: Sequence[str]) -> Callable[[Sequence[int]], bool]:
        """Whether generated tokens end with the model's end of text, or with a stop string among the last."""
        ends = self.model.generation_config.eos_token_id
        ids = set(ends if isinstance(ends, list) else [ends])
        tail = max(len(stop.encode()) for stop in stops) + 4  # a token holds at least a byte of it

        def stopped(tokens: Sequence[int]) -> bool:
            if tokens[-1] in ids:
                return True
            text = self.tokenizer.decode(tokens[-tail:])
            return any(stop in text for stop in stops)

        return stopped

    def _finished_text(self, tokens: Sequence[int], settings: dict[str, Any]) -> str:
        text: str = postprocess_generated_text(
            self.tok_decode(tokens), self._until(settings), self.think_end_token
        )
        return text

    # --- both

    def _reader_for(self, longest: int) -> Reader | None:
        """The reader for sequences up to this length, checked beyond a sliding window if needed, or None."""
        if self.chosen.reader is None:
            return None
        if self._rope_limit is not None and longest > self._rope_limit:
            self._tell(
                f"reads plainly where a text is longer than {self._rope_limit} tokens: positions change there"
            )
            return None
        if self._window is not None and longest > self._window:
            problem = window_disagreement(self.chosen.reader, self._window)
            self._window = None
            if problem:
                self.chosen = Chosen("plain", None, f"past the sliding window, {problem}")
                self._tell(f"reads by the plain strategy: {self.chosen.reason}")
        return self.chosen.reader

    def _tell(self, sentence: str) -> None:
        """Log a fallback once, and keep it for the run's notes."""
        if sentence not in self.told:
            self.told.append(sentence)
            _LOG.warning("fusegauge %s", sentence)

    def _within_memory(self, work: Callable[[Capacity], None]) -> None:
        """Run `work` with as large a batch as memory allows; the next call starts with that size."""
        if self._capacity is None:
            config = self.model.config.get_text_config()
            self._capacity = capacity(config, self.device, self.model.get_input_embeddings().weight.dtype)
        self._capacity = with_less(work, self._capacity)

    def _bar(self, what: str, total: int, disable: bool) -> Any:
        return tqdm(total=total, disable=disable or self.rank != 0, desc=what)
