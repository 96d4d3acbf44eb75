"""Mixup: training on mixtures of two images and of their labels (Zhang et al., 2018)."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from pipeline.randomness import Purpose, generator


def mixing_share(alpha: float, seed: int, step: int) -> float:
    """The share of the first image in a batch's mixtures, from Beta(alpha, alpha).

    Args:
        alpha: Near 0: shares near 0 or 1; 1: any share alike; more: shares near a half.
        seed: The run's seed.
        step: Steps before this batch.
    """
    return float(generator(seed, Purpose.MIXUP, step).beta(alpha, alpha))


def mix(images: Tensor, labels: Tensor, *, classes: int, share: float) -> tuple[Tensor, Tensor]:
    """Mix each image of a batch with the one before it; the order of an epoch is random already.

    The network normalises inside, which is affine: mixing before it is mixing after it.

    Args:
        images: uint8 [N, H, W, 3].
        labels: int64 [N].
        classes: Number of classes.
        share: Of the image itself, in 0…1.

    Returns:
        Images float32 [N, H, W, 3] in 0…255 and targets float32 [N, classes], rows summing to 1.
    """
    return _mix(images.float(), share), _mix(one_hot(labels, classes).float(), share)


def _mix(rows: Tensor, share: float) -> Tensor:
    return torch.lerp(rows.roll(1, dims=0), rows, share)
