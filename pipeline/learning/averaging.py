"""An exponential moving average of the weights (Polyak & Juditsky, 1992, of recent steps only).

The average is a part of the LightningModule rather than Lightning's own callback for it, which
keeps the average out of checkpoints that hold only weights: going back to the best epoch would
bring back weights that were never validated.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def moving_average(network: nn.Module, decay: float) -> AveragedModel:
    """A copy of a network that follows it, one `update_parameters` after each step.

    Batch normalisation's running statistics are averaged with the weights.

    Args:
        network: What to follow.
        decay: Share of the old average kept at each step, in 0…1. It is less at first, at most
            (1 + n) / (10 + n) after n steps, so that the initial weights are soon forgotten.
    """

    def average(
        averaged: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int
    ) -> None:
        share = 1 - min(decay, (1 + int(updates)) / (10 + int(updates)))
        for old, new in zip(averaged, current, strict=True):
            _approach(old, new, share)

    copy = AveragedModel(network, multi_avg_fn=average, use_buffers=True)
    return copy.requires_grad_(False)


def _approach(old: Tensor, new: Tensor, share: float) -> None:
    if old.is_floating_point():
        old.lerp_(new, share)
    else:
        old.copy_(new)  # batch normalisation's count of batches
