"""Batches: every image once an epoch, in an order that only the seed and the epoch decide."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader

from pipeline.common.errors import TrainingError
from pipeline.common.params import Params, TrainParams
from pipeline.train.datamodule import (
    Batch,
    EpochBatches,
    ImageDataModule,
    channel_statistics,
)
from tests.helpers.data import SIZE, Pack


def visited(batches: EpochBatches, epoch: int = 0) -> list[tuple[int, int]]:
    """The places of an epoch, in their order."""
    batches.set_epoch(epoch)
    return [place for batch in batches for place in batch]


def test_an_epoch_visits_every_image_once() -> None:
    batches = EpochBatches(50, batch_size=8, seed=1)
    assert sorted(index for _, index in visited(batches)) == list(range(50))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[tuple[int, int]]:
        return visited(EpochBatches(50, batch_size=8, seed=seed), epoch)

    assert order(1, 4) == order(1, 4)
    assert [i for _, i in order(1, 4)] != [i for _, i in order(1, 5)]
    assert order(1, 4) != order(2, 4)
    assert {epoch for epoch, _ in order(1, 4)} == {4}


def test_no_batch_holds_a_single_image() -> None:
    batches = EpochBatches(49, batch_size=16, seed=1)
    left_out = set()
    for epoch in range(20):
        found = {index for _, index in visited(batches, epoch)}
        assert len(found) == 48
        assert len(batches) == 3
        left_out |= set(range(49)) - found
    assert len(left_out) > 5


def image_data(pack: Pack, params: Params) -> ImageDataModule:
    pack("train", 40)
    return ImageDataModule(pack("validation", 21).parent, params.augment, in_batches(params))


def in_batches(params: Params, workers: int = 0) -> TrainParams:
    return params.train.model_copy(update={"batch_size": 16, "workers": workers})


@pytest.mark.parametrize(("images", "kept"), [(71, 71), (69, 69), (68, 68), (67, 64), (65, 64)])
def test_every_process_has_its_part_of_every_batch(images: int, kept: int) -> None:
    whole = list(EpochBatches(images, batch_size=16, seed=1))[: -(-kept // 16)]
    parts = [EpochBatches(images, 16, seed=1, rank=rank, processes=2) for rank in (0, 1)]
    for batch, one, other in zip(whole, *parts, strict=True):
        assert sorted(one + other) == sorted(batch)
        assert abs(len(one) - len(other)) <= 1
        assert min(len(one), len(other)) >= 2
    assert sum(len(batch) for part in parts for batch in part) == kept
    assert len(parts[0]) == len(whole)


def test_too_few_images_for_the_processes_are_told(pack: Pack, params: Params) -> None:
    data = image_data(pack, params)
    data.trainer = Trainer(accelerator="cpu", devices=12, logger=False)
    with pytest.raises(TrainingError, match="21 images in a split are too few for 12 processes"):
        data.setup("fit")


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")
@pytest.mark.parametrize(
    ("start", "workers"),
    [("fork", 1), ("fork", 2), ("fork", 4), ("spawn", 1)],
)
def test_workers_do_not_change_the_batches(
    pack: Pack, params: Params, tmp_path: Path, start: str, workers: int
) -> None:
    alone = image_data(pack, params).train_dataloader()
    folder = tmp_path / "data" / "packed"
    other = ImageDataModule(folder, params.augment, in_batches(params, workers))
    helped = other.train_dataloader()
    helped.multiprocessing_context = start
    for epoch in range(2):  # the second time with workers that have already run an epoch
        choose(alone, epoch)
        choose(helped, epoch)
        for (images, labels), (expected, expected_labels) in zip(helped, alone, strict=True):
            torch.testing.assert_close(images, expected, rtol=0, atol=0)
            torch.testing.assert_close(labels, expected_labels, rtol=0, atol=0)


def choose(loader: DataLoader[Batch], epoch: int) -> None:
    assert isinstance(loader.sampler, EpochBatches)
    loader.sampler.set_epoch(epoch)


def test_epochs_feed_different_pictures_of_the_same_images(pack: Pack, params: Params) -> None:
    loader = image_data(pack, params).train_dataloader()
    first = torch.cat([images for images, _ in loader])
    choose(loader, 1)
    second = torch.cat([images for images, _ in loader])
    assert first.shape == second.shape == (40, SIZE, SIZE, 3)
    assert not torch.equal(first.sort(dim=0).values, second.sort(dim=0).values)


def test_validation_is_fed_as_it_is(pack: Pack, params: Params) -> None:
    data = image_data(pack, params)
    images = torch.cat([images for images, _ in data.val_dataloader()])
    np.testing.assert_array_equal(images.numpy(), data.validation.images)


def test_channel_statistics_are_those_of_the_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 7, 7, 3), dtype=np.uint8)
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, (images / 255).mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(std, (images / 255).std(axis=(0, 1, 2)))


def test_a_channel_without_variation_is_not_scaled() -> None:
    _, std = channel_statistics(np.full((2, 4, 4, 3), 9, dtype=np.uint8))
    assert std == [1.0, 1.0, 1.0]
