"""What a program writes, kept within bounds while it is being read."""

import os
from typing import IO

_PART = 1 << 16


class Stream:
    """The head and the tail of one of a program's streams, and how much there was."""

    def __init__(self, source: IO[bytes], keep: int) -> None:
        self.source = source
        self._half = keep // 2
        self.restart()
        os.set_blocking(source.fileno(), False)

    def restart(self) -> None:
        """Forget what was read."""
        self._head, self._tail, self.total = bytearray(), bytearray(), 0

    def read(self) -> bool:
        """Take what is there, one part of it; False at the end of the stream."""
        try:
            part = os.read(self.source.fileno(), _PART)
        except BlockingIOError:
            return True
        self.total += len(part)
        room = self._half - len(self._head)
        self._head += part[:room]
        self._tail += part[room:]
        del self._tail[: max(0, len(self._tail) - self._half)]
        return bool(part)

    def drain(self, most: int) -> None:
        """Take all that is there, up to about `most` bytes."""
        before = -1
        while before < self.total <= most:
            before = self.total
            self.read()

    @property
    def kept(self) -> bytes:
        return bytes(self._head + self._tail)
