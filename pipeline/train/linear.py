"""A linear layer whose sums do not depend on the processor's maker or the number of threads.

PyTorch multiplies float32 matrices with MKL, whose kernels differ between Intel's and AMD's
processors; no setting of MKL makes them agree but one that takes three times as long
(docs/reproducibility.md). oneDNN, which PyTorch has beside it, adds in one order everywhere once
its instructions are capped (`pipeline.common.instructions`), and takes about as long.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function


class Linear(nn.Linear):
    """PyTorch's layer, with oneDNN's products where they can be had: float32 on a CPU."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - PyTorch's name
        """float32 [N, inputs] → float32 [N, outputs]."""
        if _has_products(input):
            product: Tensor = _Product.apply(input, self.weight, self.bias)
            return product
        return super().forward(input)


class _Product(Function):
    """`input @ weight.T + bias` and its gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: ANN401
        """float32 [N, inputs], [outputs, inputs], [outputs] → [N, outputs]."""
        ctx.save_for_backward(values, weight)
        return _product(values, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:  # noqa: ANN401
        """The gradients of each, from that of the result, [N, outputs]."""
        values, weight = ctx.saved_tensors
        of_values, _, of_bias = ctx.needs_input_grad
        return (
            _product(gradient, weight.t()) if of_values else None,
            _product(gradient.t(), values.t()),
            gradient.sum(0) if of_bias else None,
        )


def _product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """[M, K], [N, K], [N] → [M, N]: `left @ right.T + bias`, by oneDNN."""
    result: Tensor = torch.ops.mkldnn._linear_pointwise(  # it has no public name
        left.contiguous(), right.contiguous(), bias, "none", [], ""
    )
    return result


def _has_products(values: Tensor) -> bool:
    return (
        values.device.type == "cpu"
        and values.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    )
