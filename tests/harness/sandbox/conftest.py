"""What the sandbox's tests run programs in."""

import sys

import pytest

from harness.sandbox import Backend, Unconfined, required


@pytest.fixture(params=["sandbox", "subprocess"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """What holds for every backend holds for the machine's best one and for none at all."""
    if request.param == "subprocess":
        return Unconfined()
    if sys.platform != "linux":
        pytest.skip("sandboxes are Linux's")
    return required()
