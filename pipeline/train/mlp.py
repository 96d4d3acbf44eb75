"""The regularised multilayer perceptron."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pipeline.train.linear import Linear

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
    differ in it.

    Args:
        size: Height and width of the images in pixels.
        classes: Number of classes, >= 2.
        mean: Mean of each colour channel of the training images, in 0…1.
        deviation: Standard deviation of each channel, in 0…1, > 0.
        hidden: Units of each hidden layer; none gives logistic regression.
        activation: A key of `ACTIVATIONS`.
        batch_norm: Whether hidden layers are batch-normalised (Ioffe & Szegedy, 2015).
        dropout: Probability of dropping a unit, for all hidden layers or one for each
            (Srivastava et al., 2014).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        *,
        size: int,
        classes: int,
        mean: Sequence[float],
        deviation: Sequence[float],
        hidden: Sequence[int],
        activation: str,
        batch_norm: bool,
        dropout: float | Sequence[float],
    ) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float32))
        widths = [size * size * 3, *hidden]
        self.hidden = nn.Sequential(
            *(
                hidden_layer(inputs, outputs, activation, batch_norm=batch_norm, dropout=rate)
                for (inputs, outputs), rate in zip(
                    pairwise(widths), per_layer(dropout, len(hidden)), strict=True
                )
            )
        )
        self.output = Linear(widths[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of each class.

        Args:
            images: uint8 RGB [N, size, size, 3].

        Returns:
            float32 [N, classes].
        """
        logits: Tensor = self.output(self.hidden(self._normalised(images.flatten(start_dim=1))))
        return logits

    def _normalised(self, pixels: Tensor) -> Tensor:
        """Scale [N, size * size * 3] by channel, to float32.

        A factor and an offset for each value rather than for each channel, and both applied in one
        pass: a last dimension of 3 is too short for vector instructions.
        """
        places = self.size * self.size
        factor = (1 / (255 * self.deviation)).repeat(places)
        offset = (-self.mean / self.deviation).repeat(places)
        return torch.addcmul(offset, pixels.to(factor.dtype), factor)


def per_layer(dropout: float | Sequence[float], layers: int) -> list[float]:
    """One dropout probability for each of `layers` hidden layers."""
    return list(dropout) if isinstance(dropout, Sequence) else [dropout] * layers


def hidden_layer(
    inputs: int, outputs: int, activation: str, *, batch_norm: bool, dropout: float
) -> nn.Sequential:
    """One regularised layer: float32 [N, inputs] → [N, outputs]."""
    parts: list[nn.Module] = [Linear(inputs, outputs, bias=not batch_norm)]
    if batch_norm:
        parts.append(nn.BatchNorm1d(outputs))
    parts.append(ACTIVATIONS[activation]())
    if dropout > 0:
        parts.append(nn.Dropout(dropout))
    return nn.Sequential(*parts)


@torch.inference_mode()
def predict_logits(network: MLP, images: npt.NDArray[np.uint8]) -> Tensor:
    """Compute the logits of any number of images in evaluation mode, a batch at a time.

    Args:
        network: On any device; left in the mode it is in.
        images: uint8 RGB [N, size, size, 3]; memory-mapped ones are read a batch at a time.

    Returns:
        float32 [N, classes], on the CPU.
    """
    mode = network.training
    network.eval()
    try:
        parts = [
            network(torch.from_numpy(images[start : start + BATCH].copy()).to(network.mean.device))
            for start in range(0, len(images), BATCH)
        ]
    finally:
        network.train(mode)
    return torch.cat(parts).cpu().float()
