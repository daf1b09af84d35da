"""An observer for the tests that run stages."""

from typing import Any


class Silent:
    """Says nothing."""

    def started(self, *_: Any) -> None: ...
    def progress(self, *_: Any) -> None: ...
    def finished(self, *_: Any) -> None: ...
