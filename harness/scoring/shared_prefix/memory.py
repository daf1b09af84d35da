"""How much to read at once: what memory allows, and half of it wherever that was too much."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

FLOAT = 4  # bytes of a float32
CPU_PACK, GPU_PACK = 512, 8192  # tokens; more does not fill a device better, and masks grow with the square
CPU_STEP, GPU_STEP = 16, 256  # tokens of one pass of generation: about where a pass starts to take longer
CPU_ROWS, GPU_ROWS = 16, 256
LOGITS_SHARE, ROWS_SHARE = 0.1, 0.5  # of free memory: logits held at a time, keys and values of rows


@dataclass(frozen=True)
class Capacity:
    """What one device can hold beside the model."""

    pack_tokens: int
    step_tokens: int
    logits_at_once: int  # rows as wide as the vocabulary
    most_rows: int
    row_tokens: int  # of all rows together

    def rows(self, tokens: int) -> int:
        """How many rows of so many tokens may be under way at once; at least one."""
        return max(1, min(self.most_rows, self.row_tokens // max(1, tokens)))

    def halved(self) -> "Capacity":
        """For the next try after memory ran out."""
        return Capacity(
            max(1, self.pack_tokens // 2),
            max(1, self.step_tokens // 2),
            max(1, self.logits_at_once // 2),
            max(1, self.most_rows // 2),
            max(1, self.row_tokens // 2),
        )


def capacity(config: Any, device: torch.device, dtype: torch.dtype) -> Capacity:
    """For a model of this configuration, by the memory that is free now."""
    free = free_bytes(device)
    on_cpu = device.type == "cpu"
    width = config.vocab_size * FLOAT * 3  # logits, their copy in float32, and the log-softmax's own
    each = _token_bytes(config, dtype)
    pack = min(CPU_PACK if on_cpu else GPU_PACK, int(free * LOGITS_SHARE / (20 * each)))
    return Capacity(
        pack_tokens=max(1, pack),
        step_tokens=CPU_STEP if on_cpu else GPU_STEP,
        logits_at_once=max(1, min(256 if on_cpu else GPU_PACK, int(free * LOGITS_SHARE / width))),
        most_rows=CPU_ROWS if on_cpu else GPU_ROWS,
        row_tokens=max(1, int(free * ROWS_SHARE / each)),
    )


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


def _token_bytes(config: Any, dtype: torch.dtype) -> int:
    """Keys and values of one token in all layers."""
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    return int(2 * config.num_hidden_layers * groups * width * dtype.itemsize)


def with_less(work: Callable[[Capacity], None], start: Capacity) -> Capacity:
    """Do `work`, again with half the capacity where memory runs out; returns what sufficed.

    `work` must go on where it was: it is called again after it stopped in the middle.
    """
    from accelerate.utils.memory import should_reduce_batch_size

    now = start
    while True:
        try:
            work(now)
            return now
        except (RuntimeError, MemoryError) as error:
            if not should_reduce_batch_size(error) and not isinstance(error, MemoryError):
                raise
            if now == now.halved():
                raise
        _give_back()
        now = now.halved()


def _give_back() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
