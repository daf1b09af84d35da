"""Work of a known size, for measuring memory: `prepare` as `benchmarks.measure.extra_peak` calls it."""

from collections.abc import Callable


def prepare(before: str, during: str) -> Callable[[], object]:
    """Fill and drop `before` MiB now; the work does so with `during` MiB."""
    _fill(int(before))
    return lambda: _fill(int(during))


def _fill(mib: int) -> None:
    bytearray(b"x") * (mib << 20)
