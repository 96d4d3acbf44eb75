"""The network of the contestants that are plain PyTorch."""

from torch import nn

from benchmarks.speed.contestant import DROPOUT, HIDDEN, SIZE


def perceptron() -> nn.Sequential:
    """Build the layers of `MLP`: [Linear → BatchNorm1d → ReLU → Dropout] per layer → Linear."""
    layers: list[nn.Module] = [nn.Flatten()]
    inputs = SIZE * SIZE * 3
    for units in HIDDEN:
        layers += [nn.Linear(inputs, units, bias=False), nn.BatchNorm1d(units), nn.ReLU()]
        layers.append(nn.Dropout(DROPOUT))
        inputs = units
    return nn.Sequential(*layers, nn.Linear(inputs, 2))
