"""The most memory that this process held while a stage ran, where the system tells."""

import sys
from pathlib import Path

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
FROM_NOW = "5"  # what Linux takes to forget the highest resident size so far (proc(5), since 4.0)


def forget_peak() -> None:
    """Measure from now on. Elsewhere than on Linux nothing is measured."""
    try:
        RESET.write_text(FROM_NOW)
    except OSError:
        return
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> dict[str, int]:
    """Since `forget_peak`: `peak_memory_bytes` of the process, `peak_device_bytes` where CUDA is used."""
    found = {}
    if RESET.exists():
        lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if ":" in line)
        found["peak_memory_bytes"] = 1024 * int(lines["VmHWM"].split()[0])
    torch = sys.modules.get("torch")  # a stage that uses a device has imported it
    if torch is not None and torch.cuda.is_available():
        found["peak_device_bytes"] = int(torch.cuda.max_memory_allocated())
    return found
