"""The LightningDataModule: from packed arrays to batches."""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

from pipeline.common.datasets import PackedSplit, load_packed
from pipeline.common.errors import TrainingError
from pipeline.common.params import AugmentParams, TrainParams
from pipeline.common.randomness import Purpose, generator
from pipeline.train.augmentation import Augmentation
from pipeline.train.mlp import BATCH

Batch = tuple[Tensor, Tensor]
Place = tuple[int, int]  # an epoch and an index


class EpochBatches(Sampler[list[Place]]):
    """A new order of all images for each epoch, in batches of (epoch, index).

    The epoch travels with the index because persistent workers keep the dataset as it was when
    they started. Each of several processes takes its part of every batch; the parts differ by one
    image at most, while Lightning's own sampler would repeat images. Where the last batch would
    have fewer than two images for each process, they are left out, others in each epoch: batch
    normalisation has no statistics of a single image.

    Args:
        images: How many there are.
        batch_size: Images in a batch, over all processes.
        seed: The run's seed.
        rank: Which process this is, from 0.
        processes: How many there are.
    """

    def __init__(
        self, images: int, batch_size: int, seed: int, rank: int = 0, processes: int = 1
    ) -> None:
        self._images = images
        rest = images % batch_size
        self._used = images - rest if images > rest and rest < 2 * processes else images
        self._batch_size = batch_size
        self._seed = seed
        self._part = slice(rank, None, processes)
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each."""
        self._epoch = epoch

    def __len__(self) -> int:
        return math.ceil(self._used / self._batch_size)

    def __iter__(self) -> Iterator[list[Place]]:
        epoch = self._epoch
        order = generator(self._seed, Purpose.ORDER, epoch).permutation(self._images).tolist()
        for start in range(0, self._used, self._batch_size):
            batch = order[start : min(start + self._batch_size, self._used)]
            yield [(epoch, index) for index in batch[self._part]]


class PackedImages(Dataset[Batch]):
    """What the MLP sees of images, and their labels, a batch at a time.

    Args:
        packed: The split.
        augmentation: Of training images, which are asked for by (epoch, index); None to leave
            images as they are, asked for by index.
        seed: Draws the view of each image and epoch, where the MLP sees vectors.
    """

    def __init__(
        self, packed: PackedSplit, augmentation: Augmentation | None = None, seed: int = 0
    ) -> None:
        self._packed = packed
        self._augmentation = augmentation
        self._seed = seed

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._packed)

    def __getitem__(self, places: Sequence[Any]) -> Batch:
        """Images uint8 [N, H, W, 3], or vectors float32 [N, values], and labels int64 [N]."""
        packed, augmentation = self._packed, self._augmentation
        rows = list(places) if augmentation is None else [index for _, index in places]
        if augmentation is None or not augmentation.changes:
            inputs = packed.inputs[rows]
        elif packed.vectors is None:
            images = np.asarray(packed.images)  # a view: a row of a memory map costs 6 µs more
            inputs = np.stack([augmentation(images[i], epoch, i) for epoch, i in places])
        else:
            inputs = packed.vectors[rows, [self._views(epoch)[index] for epoch, index in places]]
        return torch.from_numpy(inputs), torch.from_numpy(packed.labels[rows])

    @lru_cache(maxsize=2)  # noqa: B019 - a dataset lives as long as its run
    def _views(self, epoch: int) -> npt.NDArray[np.int64]:
        """Draw the view of every image in an epoch; view 0 is unaugmented."""
        vectors: Any = self._packed.vectors
        draw = generator(self._seed, Purpose.VIEWS, epoch)
        return draw.integers(0, vectors.shape[1], len(vectors))


class ImageDataModule(pl.LightningDataModule):
    """Augmented training batches; unaugmented batches to validate, test and predict.

    Training reads the training and the validation split. The test split is opened only by
    `trainer.test` and `trainer.predict`.

    Args:
        packed: Folder of the packed splits.
        augment: The random changes to training images.
        features: Folder of their vectors; None where the MLP sees pixels in any case.
        train: Its seed drives order and augmentation; its batch size counts the images of all
            processes that train. Batches do not depend on how many workers prepare them.

    Raises:
        BluelightError: A split is missing or damaged.
    """

    def __init__(
        self,
        packed: Path,
        augment: AugmentParams,
        train: TrainParams,
        features: Path | None = None,
    ) -> None:
        super().__init__()
        self._features = features
        self._packed = packed
        self.train = self._load("train")
        self.validation = self._load("validation")
        self.augmentation = Augmentation(augment, train.seed)
        self._seed = train.seed
        self._batch_size = train.batch_size
        self._workers = train.workers

    @cached_property
    def description(self) -> dict[str, Any]:
        """What a network must know of the training images, as plain values.

        `classes` (their names), `counts` (images of each), `size` (pixels a side; None where the
        network takes vectors), `mean` and `std` (of each colour channel, in 0…1, or of each value
        of the vectors).
        """
        train, vectors = self.train, self.train.vectors
        mean, std = (
            channel_statistics(train.images) if vectors is None else vector_statistics(vectors)
        )
        return {
            "classes": list(train.classes),
            "counts": np.bincount(train.labels, minlength=len(train.classes)).tolist(),
            "size": train.size if vectors is None else None,
            "mean": mean,
            "std": std,
        }

    def setup(self, stage: str) -> None:
        """Check that there is enough for every process; Lightning calls this in each.

        Raises:
            TrainingError: A process would have nothing to do.
        """
        fewest, (_, processes) = min(len(self.train), len(self.validation)), self._rank_and_number
        if fewest < 2 * processes:
            raise TrainingError(
                f"{fewest} images in a split are too few for {processes} processes, which "
                "need 2 each; lower train.devices or train.num_nodes"
            )

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of what the network takes and of labels, int64 [N], in the epoch's order."""
        batches = EpochBatches(
            len(self.train), self._batch_size, self._seed, *self._rank_and_number
        )
        if self.trainer is not None:
            # Lightning sets the epoch only after workers began to fetch; a resumed run's is not 0.
            batches.set_epoch(self.trainer.current_epoch)
        images = PackedImages(self.train, self.augmentation, self._seed)
        return self._loader(images, batches, self._workers)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Batches of the validation split, in the order of the file."""
        return self._in_order(self.validation)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Batches of the test split, in the order of the file."""
        return self._in_order(self._load("test"))

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Batches of the test split, in the order of the file; the labels are not used."""
        return self.test_dataloader()

    @property
    def _rank_and_number(self) -> tuple[int, int]:
        """The rank of this process, and how many there are."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _load(self, name: str) -> PackedSplit:
        return load_packed(self._packed / name, self._features and self._features / name)

    def _in_order(self, split: PackedSplit) -> DataLoader[Batch]:
        """Of several processes each has its own images: none is measured twice."""
        rank, processes = self._rank_and_number
        own = range(rank, len(split), processes)
        return self._loader(PackedImages(split), BatchSampler(own, BATCH, drop_last=False))

    def _loader(
        self, images: PackedImages, batches: Sampler[Any], workers: int = 0
    ) -> DataLoader[Batch]:
        return DataLoader(
            images,
            sampler=batches,
            batch_size=None,  # the dataset makes a batch at once
            num_workers=workers,
            persistent_workers=workers > 0,
            # Without its own, the loader would draw from the global generator.
            generator=torch.Generator().manual_seed(self._seed),
        )


def channel_statistics(images: npt.NDArray[np.uint8]) -> tuple[list[float], list[float]]:
    """Compute mean and standard deviation of each colour channel: in integers, so exactly.

    Args:
        images: uint8 [N, H, W, 3]; a memory-mapped array is read an image at a time.

    Returns:
        Means and standard deviations in 0…1; a channel that is constant has a standard deviation
        of 1, since nothing need be scaled.
    """
    sums, squares = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for image in images:
        sums += image.sum(axis=(0, 1), dtype=np.int64)
        squares += np.square(image, dtype=np.int64).sum(axis=(0, 1))
    number = images[..., 0].size
    stds = [
        math.sqrt(number * square - total**2) / (255 * number) or 1.0
        for total, square in zip(sums.tolist(), squares.tolist(), strict=True)  # Python's integers
    ]
    return [total / (255 * number) for total in sums.tolist()], stds


def vector_statistics(vectors: npt.NDArray[np.float32]) -> tuple[list[float], list[float]]:
    """Compute mean and standard deviation of each value, in bounded memory.

    Args:
        vectors: float32 [N, views, values].

    Returns:
        Means and standard deviations; a value that is constant has a standard deviation of 1.
    """
    number = vectors.shape[0] * vectors.shape[1]
    blocks = [vectors[start : start + 256] for start in range(0, len(vectors), 256)]
    mean = np.sum([np.float64(block).sum(axis=(0, 1)) for block in blocks], axis=0) / number
    squares = [np.square(block - mean).sum(axis=(0, 1)) for block in blocks]
    std = np.sqrt(np.sum(squares, axis=0) / number)
    return mean.tolist(), [value or 1.0 for value in std.tolist()]
