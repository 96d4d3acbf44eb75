"""The floor, the cost of the network alone: a bare PyTorch loop over arrays in memory.

It has no augmentation, validation, metrics or data loader: normalised float32 pixels, a new random
order in each epoch, forward pass, backward pass, fused AdamW.
"""

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.speed.contestant import BATCH, LEARNING_RATE, arguments, report
from benchmarks.speed.network import perceptron


def load(folder: Path) -> tuple[Tensor, Tensor]:
    """Pixels float32 [N, H*W*3], normalised by channel, and labels int64 [N]."""
    pixels = torch.from_numpy(np.load(folder / "images.npy")).float() / 255
    pixels = (pixels - pixels.mean((0, 1, 2))) / pixels.std((0, 1, 2))
    return pixels.flatten(1), torch.from_numpy(np.load(folder / "labels.npy"))


def epoch(
    network: nn.Module, optimizer: torch.optim.Optimizer, data: tuple[Tensor, Tensor]
) -> None:
    """Every image once."""
    images, labels = data
    order = torch.randperm(len(labels))
    for start in range(0, len(labels), BATCH):
        batch = order[start : start + BATCH]
        optimizer.zero_grad()
        torch.autograd.backward(cross_entropy(network(images[batch]), labels[batch]))
        optimizer.step()


def main() -> None:
    """Train and report."""
    given = arguments()
    torch.set_num_threads(given.threads)
    data = load(Path(given.data) / "packed" / "train")
    network = perceptron()
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, fused=True)
    seconds = []
    for _ in range(given.epochs):
        start = time.perf_counter()
        epoch(network, optimizer, data)
        seconds.append(time.perf_counter() - start)
    report(epoch=seconds)


if __name__ == "__main__":
    main()
