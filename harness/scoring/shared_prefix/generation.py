"""Greedy generation: the shared prefix is read once, and each row stops at its own end.

A row ends at its own stop string, end-of-text token or limit, and a waiting prompt takes its place. A row
generates what it would generate alone: draft tokens (`prompt_lookup`) are kept only as far as the model
itself would have generated them.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache

from harness.scoring.shared_prefix.attention import RowsLayout
from harness.scoring.shared_prefix.kv_cache import RowCache, trunk_layers
from harness.scoring.shared_prefix.memory import Capacity
from harness.scoring.shared_prefix.packing import pack
from harness.scoring.shared_prefix.prefixes import Tokens, groups
from harness.scoring.shared_prefix.prompt_lookup import Guesser
from harness.scoring.shared_prefix.reader import TreeReader, kept

Stopped = Callable[[Sequence[int]], bool]  # whether the tokens generated so far end a row


@dataclass(frozen=True)
class Prompt:
    """What to go on from, at most how far, and when to stop before."""

    tokens: Tokens
    most: int  # tokens to generate, at least one
    stopped: Stopped


OnGenerated = Callable[[int, list[int]], None]  # (which prompt, what was generated), as rows end


@dataclass
class _Row:
    """A row under way. `pending` was generated and is read by the next pass."""

    name: int
    prompt: Prompt
    guesser: Guesser
    text: list[int] = field(default_factory=list)

    @property
    def pending(self) -> int:
        return self.text[-1]

    @property
    def left(self) -> int:
        return self.prompt.most - len(self.text)

    def take(self, tokens: Iterable[int]) -> bool:
        """Add generated tokens; whether one of them ended the row (those behind it are dropped)."""
        for token in tokens:
            self.text.append(token)
            self.guesser.extend([token])
            if self.left <= 0 or self.prompt.stopped(self.text):
                return True
        return False


def generate(reader: TreeReader, prompts: Sequence[Prompt], capacity: Capacity, done: OnGenerated) -> None:
    """Generate for all prompts; `done` is called for each row when it ends."""
    sequences = [p.tokens for p in prompts]
    for group in groups(sequences):
        trunk = DynamicCache()
        reader.grow(trunk, sequences[group.sequences[0]][: group.depth], capacity.pack_tokens)
        _Run(reader, trunk, group.depth, capacity, done).run([(i, prompts[i]) for i in group.sequences])


class _Run:
    """The rows of one group of prompts, which share the first `depth` tokens."""

    def __init__(
        self, reader: TreeReader, trunk: DynamicCache, depth: int, capacity: Capacity, done: OnGenerated
    ) -> None:
        self.reader, self.trunk, self.depth, self.capacity, self.done = reader, trunk, depth, capacity, done
        self.keys, self.values = trunk_layers(trunk)
        self.cache = RowCache(0)
        self.rows: list[_Row] = []

    def run(self, prompts: Sequence[tuple[int, Prompt]]) -> None:
        longest = max(len(p.tokens) - self.depth + p.most for _, p in prompts)
        self.cache = RowCache(min(len(prompts), max(1, self.capacity.rows(longest))))
        waiting = deque(prompts)
        while waiting or self.rows:
            while waiting and len(self.rows) < self.cache.places:
                self._admit(self._next(waiting))
            if self.rows:
                self._step()

    def _next(self, waiting: deque[tuple[int, Prompt]]) -> list[tuple[int, Prompt]]:
        """As many waiting prompts as there are places and a pack holds; at least one."""
        chosen = [waiting.popleft()]
        size = len(chosen[0][1].tokens) - self.depth
        while waiting and len(self.rows) + len(chosen) < self.cache.places:
            size += len(waiting[0][1].tokens) - self.depth
            if size > self.capacity.pack_tokens:
                break
            chosen.append(waiting.popleft())
        return chosen

    def _admit(self, prompts: Sequence[tuple[int, Prompt]]) -> None:
        """Read prompts and generate their first tokens."""
        with kept(self.trunk):
            hidden, paths = self._read_prompts([p.tokens for _, p in prompts])
            self.cache.admit(self.trunk, [self.reader.tensor(path + self.depth) for path in paths])
        self.rows += [_Row(name, prompt, Guesser(prompt.tokens.tolist())) for name, prompt in prompts]
        new = self.rows[-len(prompts) :]
        first = self._likeliest(hidden).tolist()
        ended = [row.take([token]) for row, token in zip(new, first, strict=True)]
        self._dismiss([*[False] * (len(self.rows) - len(new)), *ended])

    def _read_prompts(self, prompts: Sequence[Tokens]) -> tuple[Tensor, list[NDArray[np.int64]]]:
        """Hidden states [B, width] of the last tokens, and where a prompt's tokens lie behind the trunk."""
        start = self.depth
        if len(prompts[0]) - start > self.capacity.pack_tokens:  # then it is alone, and read bit by bit
            start = len(prompts[0]) - 1
            self.reader.grow(self.trunk, prompts[0][self.depth : start], self.capacity.pack_tokens)
        packed = pack(prompts, start)
        hidden = self.reader.read_pack(packed, self.trunk)
        last = hidden[self.reader.tensor(np.array([path[-1] for path in packed.paths]))]
        before = np.arange(start - self.depth)
        return last, [np.concatenate([before, path + len(before)]) for path in packed.paths]

    def _step(self) -> None:
        """One pass: each row reads what it generated last, and guesses at what follows."""
        spare = self.capacity.step_tokens // len(self.rows) - 1
        guesses = [row.guesser.guess(min(spare, row.left - 1)) for row in self.rows]
        length = 1 + max(map(len, guesses))
        best = self._likeliest(self._read_rows(guesses, length)).view(-1, length).tolist()
        right = [_agreeing(guess, said) for guess, said in zip(guesses, best, strict=True)]
        self.cache.commit([1 + count for count in right])
        ended = []
        for row, guess, said, count in zip(self.rows, guesses, best, right, strict=True):
            row.guesser.learn(len(guess), count)
            ended.append(row.take(said[: count + 1]))
        self._dismiss(ended)

    def _read_rows(self, guesses: Sequence[Sequence[int]], length: int) -> Tensor:
        """Hidden states [B * L, width]; rows with shorter guesses are padded, and the padding is ignored."""
        tokens = np.zeros((len(self.rows), length), np.int64)
        positions = np.empty_like(tokens)
        for place, (row, guess) in enumerate(zip(self.rows, guesses, strict=True)):
            tokens[place, : 1 + len(guess)] = [row.pending, *guess]
            # filling stays at the last true position: one further could lie outside the model's window
            positions[place] = np.minimum(np.arange(length), len(guess)) + self.cache.lengths[place]
        starts = self.reader.tensor(np.array(self.cache.lengths))
        layout = RowsLayout(starts, length, self.keys, self.values)
        self.cache.begin(length)
        return self.reader.read_laid_out(tokens.ravel(), (positions + self.depth).ravel(), self.cache, layout)

    @torch.inference_mode()
    def _likeliest(self, hidden: Tensor) -> Tensor:
        """Token ids [N] from hidden states [N, width]."""
        return self.reader.decoder.logits(hidden).argmax(dim=-1)

    def _dismiss(self, ended: Sequence[bool]) -> None:
        """Give the places of ended rows back; as in the cache, the last row moves to a place given up."""
        for place in reversed(range(len(ended))):
            if ended[place]:
                row = self.rows[place]
                self.cache.leave(place)
                self.rows[place] = self.rows[-1]
                self.rows.pop()
                self.done(row.name, row.text)


def _agreeing(guess: Sequence[int], said: Sequence[int]) -> int:
    """How many guessed tokens the model itself said, from the first on; it always says one more."""
    for count, (ours, its) in enumerate(zip(guess, said, strict=False)):
        if ours != its:
            return count
    return len(guess)
