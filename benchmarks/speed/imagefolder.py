"""The usual torchvision script: ImageFolder, which decodes every photo in every epoch.

Two workers, Adam, PyTorch's default number of threads. The augmentations have the probabilities and
strengths of params.yaml, with the vertical flip switched on.
"""

import time
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks.speed.contestant import BATCH, LEARNING_RATE, SIZE, arguments, report
from benchmarks.speed.network import perceptron

AUGMENTED = v2.Compose(
    [
        v2.Resize((SIZE, SIZE)),
        v2.RandomHorizontalFlip(),
        v2.RandomVerticalFlip(),
        v2.RandomApply([v2.RandomRotation(15)], p=0.7),
        v2.RandomApply([v2.RandomAffine(0, translate=(0.1, 0.1))], p=0.7),
        v2.RandomApply([v2.GaussianBlur(3)], p=0.2),
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.RandomApply([v2.GaussianNoise(sigma=0.015)], p=0.3),
        v2.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ]
)


def main() -> None:
    """Train and report."""
    given = arguments()
    photos = ImageFolder(Path(given.data) / "photos" / "train", AUGMENTED)
    loader = DataLoader(photos, BATCH, shuffle=True, num_workers=2, persistent_workers=True)
    network = perceptron()
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    seconds = []
    for _ in range(given.epochs):
        start = time.perf_counter()
        for images, labels in loader:
            optimizer.zero_grad()
            torch.autograd.backward(cross_entropy(network(images), labels))
            optimizer.step()
        seconds.append(time.perf_counter() - start)
    report(epoch=seconds)


if __name__ == "__main__":
    main()
