"""Linear layers on CPUs, by oneDNN with weights laid out for it once.

torch multiplies float32 matrices on CPUs by MKL, which holds back on processors that are not Intel's: there,
oneDNN takes a half to a third of the time for the same product in the same precision. These are the operators
to which torch's own compiler lowers frozen linear layers.
"""

from typing import Any

import torch
from torch import Tensor, nn

_ROWS = 16  # for which the weights' layout is chosen; measured to serve 1 to 512 alike


class PackedLinear(nn.Module):
    """A linear layer for inference, in float32 on a CPU."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        # no parameter: the layout is oneDNN's own, not a matrix that could be saved or trained
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _ROWS)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features]"""
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return result


def packable(model: Any) -> bool:
    """Whether this model runs on a CPU in float32, and torch has these operators."""
    weight = model.get_input_embeddings().weight
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


def pack_linears(model: Any) -> dict[str, nn.Linear]:
    """Replace the linear layers of `model` in place; returns the originals by name, for `unpack_linears`."""
    found = {name: module for name, module in model.named_modules() if type(module) is nn.Linear}
    for name, linear in found.items():
        model.set_submodule(name, PackedLinear(linear))
    return found


def unpack_linears(model: Any, originals: dict[str, nn.Linear]) -> None:
    """Undo `pack_linears`."""
    for name, linear in originals.items():
        model.set_submodule(name, linear)
