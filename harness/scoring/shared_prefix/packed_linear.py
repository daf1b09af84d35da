"""Linear layers on CPUs with oneDNN and weights packed for it.

torch multiplies float32 matrices on CPUs by MKL, which holds back on processors that are not Intel's: there,
oneDNN takes a half to a third of the time for the same product in the same precision. These are the operators
to which torch's own compiler lowers frozen linear layers.
"""

from typing import Any

import torch
from torch import Tensor, nn

_ROWS = 16  # for which the weights' layout is chosen; measured to serve 1 to 512 alike


class PackedLinear(nn.Module):
    """A linear layer for inference, in float32 on a CPU.

    Its weight is in oneDNN's own layout, no parameter: a model with such layers cannot be saved or trained.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _ROWS)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features]"""
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return result

    def unpacked(self) -> nn.Linear:
        """The original layer, bit-identical."""
        with torch.device("meta"):  # no second weight, even for a moment
            linear = nn.Linear(self.in_features, self.out_features, bias=False)
        linear.weight = nn.Parameter(self.packed.to_dense(), requires_grad=False)
        linear.bias = self.bias
        return linear


def packable(model: Any) -> bool:
    """Whether this model runs on a CPU in float32, without adapters, and torch has these operators."""
    weight = model.get_input_embeddings().weight
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and not hasattr(model, "peft_config")  # adapters read the weights of the layers that they wrap
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


def pack_linears(model: Any) -> None:
    """Replace the linear layers of `model` one by one, so that no more than one weight is held twice.

    A head that shares its weight with the embedding takes memory of its own from then on.
    """
    for name in [name for name, module in model.named_modules() if type(module) is nn.Linear]:
        model.set_submodule(name, PackedLinear(model.get_submodule(name)))


def unpack_linears(model: Any) -> None:
    """Undo `pack_linears`."""
    for name in [name for name, module in model.named_modules() if type(module) is PackedLinear]:
        model.set_submodule(name, model.get_submodule(name).unpacked())
    model.tie_weights()
