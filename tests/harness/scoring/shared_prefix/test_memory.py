"""How much is read at once: by the memory that is free, and less where it was too much."""

from typing import Any

import pytest
import torch
from transformers import GPT2Config, LlamaConfig

from harness.scoring.shared_prefix import memory
from harness.scoring.shared_prefix.generation import Prompt, generate
from harness.scoring.shared_prefix.memory import Capacity, capacity, with_less
from harness.scoring.shared_prefix.strategies import choose
from tests.harness.scoring.shared_prefix.models import model_of, plain_greedy
from tests.harness.scoring.shared_prefix.test_generation import FEW, some_prompts


@pytest.mark.slow
def test_memory_that_runs_out_halves_what_is_read_at_once() -> None:
    """A body that takes at most nine tokens a pass: everything is answered all the same, the same."""
    reader: Any = choose(model_of("llama"), "tree").reader
    prompts = some_prompts(5)
    expected = [plain_greedy(reader.model, p, 6) for p in prompts]
    found: dict[int, list[int]] = {}
    body = reader.model.base_model
    forward = body.forward

    def small(input_ids: torch.Tensor, **others: Any) -> Any:
        if input_ids.shape[1] > 9:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(input_ids=input_ids, **others)

    def work(now: Capacity) -> None:
        left = [i for i in range(len(prompts)) if i not in found]
        asked = [Prompt(prompts[i], 6, lambda _: False) for i in left]
        generate(reader, asked, now, lambda i, text: found.__setitem__(left[i], text))

    body.forward = small
    try:
        sufficed = with_less(work, Capacity(64, 16, 4, 8, 1 << 20))
    finally:
        del body.forward
    assert [found[i] for i in range(len(prompts))] == expected
    assert sufficed.pack_tokens == 8


@pytest.mark.slow
def test_other_errors_and_hopeless_memory_come_through() -> None:
    def wrong(_: Capacity) -> None:
        raise RuntimeError("shapes do not fit")

    def never(_: Capacity) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with pytest.raises(RuntimeError, match="shapes"):
        with_less(wrong, FEW)
    with pytest.raises(torch.OutOfMemoryError):
        with_less(never, FEW)


def test_rows_follow_memory() -> None:
    capacity = Capacity(pack_tokens=1, step_tokens=1, logits_at_once=1, most_rows=8, row_tokens=1000)
    assert [capacity.rows(n) for n in (1, 125, 126, 500, 1001)] == [8, 8, 7, 2, 1]


def test_capacity_of_a_large_model_on_a_gpu_and_a_small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Llama-2-7B in bfloat16 keeps 2 x 32 layers x 4096 x 2 bytes = 512 KiB a token: of 60 GiB free, half
    holds 61,440 tokens of rows. On 1 GiB a pack is what a fifth of it holds."""
    llama = LlamaConfig()
    assert llama.num_hidden_layers == 32
    monkeypatch.setattr(memory, "free_bytes", lambda _: 60 << 30)
    gpu = capacity(llama, torch.device("cuda"), torch.bfloat16)
    assert gpu.row_tokens == 61_440
    assert gpu.pack_tokens == memory.GPU_PACK
    assert gpu.rows(600) == 102
    monkeypatch.setattr(memory, "free_bytes", lambda _: 1 << 30)
    small = capacity(llama, torch.device("cuda"), torch.bfloat16)
    each = (512 << 10) + memory.ACTIVATIONS * (4096 + 11008) * 2
    assert small.pack_tokens == int(0.2 * (1 << 30) / each)
    assert small.rows(10_000) == 1


def test_tiles_of_logits_stay_small_on_a_cpu() -> None:
    """32 MiB hold 32 rows of a vocabulary of 262,144."""
    config = LlamaConfig(vocab_size=262_144)
    assert capacity(config, torch.device("cpu"), torch.float32).logits_at_once == 32


def test_configurations_with_other_names_are_understood() -> None:
    found = capacity(GPT2Config(), torch.device("cpu"), torch.float32)
    assert found.pack_tokens == memory.CPU_PACK
