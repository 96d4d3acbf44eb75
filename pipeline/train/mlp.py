"""The regularised multilayer perceptron."""

import sys
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.autograd import Function

BATCH = 1024  # images at a time where nothing is trained: bounds memory, not results

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class MLP(nn.Module):
    """Normalise → flatten → [Linear → BatchNorm1d → activation → Dropout] per layer → Linear.

    Normalisation is part of the network, so that training, evaluation and prediction cannot
    differ in it. The inputs are images, or vectors that features gave of them.

    Args:
        size: Height and width of the images in pixels; None where the inputs are vectors.
        classes: Number of classes, >= 2.
        mean: Mean of each colour channel of the training images, in 0…1; or of each value of the
            training vectors.
        std: Standard deviation of each, > 0.
        hidden: Units of each hidden layer; none gives logistic regression.
        activation: A key of `ACTIVATIONS`.
        batch_norm: Whether hidden layers are batch-normalised (Ioffe & Szegedy, 2015).
        dropout: Probability of dropping a unit, for all hidden layers or one for each
            (Srivastava et al., 2014).
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        size: int | None,
        classes: int,
        mean: Sequence[float],
        std: Sequence[float],
        hidden: Sequence[int],
        activation: str,
        batch_norm: bool,
        dropout: float | Sequence[float],
    ) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))
        self.places = 1 if size is None else size * size
        widths = [self.places * len(mean), *hidden]
        rates = dropout if isinstance(dropout, Sequence) else [dropout] * len(hidden)
        self.hidden = nn.Sequential()
        for (inputs, outputs), rate in zip(pairwise(widths), rates, strict=True):
            layer = nn.Sequential(Linear(inputs, outputs, bias=not batch_norm))
            if batch_norm:
                layer.append(nn.BatchNorm1d(outputs))
            layer.append(ACTIVATIONS[activation]())
            if rate > 0:
                layer.append(nn.Dropout(rate))
            self.hidden.append(layer)
        self.output = Linear(widths[-1], classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute the logits of each class.

        Args:
            inputs: Images, uint8 RGB [N, size, size, 3]; or vectors, float32 [N, values].

        Returns:
            float32 [N, classes].
        """
        # A factor and an offset for each value rather than for each channel, and both applied in
        # one pass: a last dimension of 3 is too short for vector instructions.
        full_range = 1 if self.size is None else 255
        factor = (1 / (full_range * self.std)).repeat(self.places)
        offset = (-self.mean / self.std).repeat(self.places)
        values = inputs.flatten(start_dim=1).to(factor.dtype)
        logits: Tensor = self.output(self.hidden(torch.addcmul(offset, values, factor)))
        return logits


class Linear(nn.Linear):
    """A linear layer whose sums do not depend on the processor's maker or the number of threads.

    PyTorch multiplies float32 matrices with MKL, whose kernels differ between Intel's and AMD's
    processors; no setting of MKL makes them agree but one that takes three times as long
    (docs/reproducibility.md). oneDNN, which PyTorch has beside it, adds in one order everywhere
    once its instructions are limited (`pipeline.common.environment`), and takes about as long.
    It serves float32 on a CPU; all else is left to PyTorch.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - PyTorch's name
        """float32 [N, inputs] → float32 [N, outputs]."""
        if (
            input.device.type == "cpu"
            and input.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
            and has_onednn_product()
        ):
            product: Tensor = _Product.apply(input, self.weight, self.bias)
            return product
        return super().forward(input)


class _Product(Function):
    """`input @ weight.T + bias` and its gradients, by oneDNN."""

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


@cache
def has_onednn_product() -> bool:
    """Return whether PyTorch still has the private operator that `Linear` calls; try it once.

    Where it has gone or changed, say so on stderr: training then goes on with PyTorch's own
    product, and its last bits depend on the processor.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    left, right = torch.arange(6.0).reshape(2, 3), torch.arange(12.0).reshape(4, 3)
    try:
        works = torch.equal(_product(left, right, torch.ones(4)), left @ right.t() + 1)
    except (AttributeError, RuntimeError, TypeError):
        works = False
    if not works:
        print(
            f"bluelight: PyTorch {torch.__version__} has no oneDNN product as this version of "
            "Bluelight calls it, so PyTorch's own is used: results are not the same on all "
            "processors. Install the versions of requirements.lock to make them so.",
            file=sys.stderr,
        )
    return works


@torch.inference_mode()
def predict_logits(network: nn.Module, inputs: npt.NDArray[np.generic]) -> Tensor:
    """Compute the logits of any number of images in evaluation mode, a batch at a time.

    Args:
        network: On any device; left in the mode it is in.
        inputs: What the network takes, [N, …]; a memory-mapped array is read a batch at a time.

    Returns:
        float32 [N, classes], on the CPU.
    """
    mode, device = network.training, next(network.parameters()).device
    network.eval()
    try:
        parts = [
            network(torch.from_numpy(inputs[start : start + BATCH].copy()).to(device))
            for start in range(0, len(inputs), BATCH)
        ]
    finally:
        network.train(mode)
    return torch.cat(parts).cpu().float()
