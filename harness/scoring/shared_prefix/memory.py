"""Batch sizes from free memory, halved after an out-of-memory error."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

FLOAT = 4  # bytes of a float32
CPU_PACK, GPU_PACK = 512, 2048  # tokens; more fills no device better, and masks grow with the square
CPU_STEP, GPU_STEP = 24, 256  # tokens of one pass of generation: about where a pass starts to take longer
CPU_ROWS, GPU_ROWS = 16, 256
CPU_LOGITS = 1 << 25  # bytes: larger tiles are only larger
PACK_SHARE, LOGITS_SHARE, ROWS_SHARE = 0.2, 0.1, 0.5  # of free memory
ACTIVATIONS = 16  # copies of a layer's two widths that are alive at once in a pass, generously


@dataclass(frozen=True)
class Capacity:
    """What fits into a device's memory beside the model."""

    pack_tokens: int
    step_tokens: int
    logits_at_once: int  # rows as wide as the vocabulary
    most_rows: int
    row_tokens: int  # of all rows together

    def rows(self, tokens: int) -> int:
        """How many rows of this many tokens may be processed at once; at least one."""
        return max(1, min(self.most_rows, self.row_tokens // max(1, tokens)))

    def halved(self) -> "Capacity":
        """Half the capacity, for the retry after an out-of-memory error."""
        return Capacity(
            max(1, self.pack_tokens // 2),
            max(1, self.step_tokens // 2),
            max(1, self.logits_at_once // 2),
            max(1, self.most_rows // 2),
            max(1, self.row_tokens // 2),
        )


def capacity(config: Any, device: torch.device, dtype: torch.dtype) -> Capacity:
    """The capacity for a model of this configuration, from the memory that is free now."""
    free, on_cpu = free_bytes(device), device.type == "cpu"
    kept = _kept_bytes(config, dtype)
    logits = CPU_LOGITS if on_cpu else int(free * LOGITS_SHARE / 3)  # they, their exponentials, a copy
    return Capacity(
        pack_tokens=_at_most(CPU_PACK if on_cpu else GPU_PACK, free * PACK_SHARE, _read_bytes(config, dtype)),
        step_tokens=CPU_STEP if on_cpu else GPU_STEP,
        logits_at_once=_at_most(CPU_PACK if on_cpu else GPU_PACK, logits, config.vocab_size * FLOAT),
        most_rows=CPU_ROWS if on_cpu else GPU_ROWS,
        row_tokens=max(1, int(free * ROWS_SHARE / kept)),
    )


def _at_most(limit: int, memory: float, each: int) -> int:
    """How many of `each` bytes fit into `memory`, within the limit; at least one."""
    return max(1, min(limit, int(memory / each)))


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


def _kept_bytes(config: Any, dtype: torch.dtype) -> int:
    """Keys and values of one token in all layers."""
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    return int(2 * config.num_hidden_layers * groups * width * dtype.itemsize)


def _read_bytes(config: Any, dtype: torch.dtype) -> int:
    """Activation memory of one token."""
    inner: int = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    return _kept_bytes(config, dtype) + int(ACTIVATIONS * (config.hidden_size + inner) * dtype.itemsize)


def with_less(work: Callable[[Capacity], None], start: Capacity) -> Capacity:
    """Run `work`, and retry with half the capacity when out of memory; returns the capacity that worked.

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
            if now.pack_tokens == now.most_rows == 1:
                raise
        _give_back()
        now = now.halved()


def _give_back() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
