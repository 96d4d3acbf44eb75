"""Augmentation is a pure function of (seed, epoch, index)."""

import pickle

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.common.params import (
    AugmentParams,
    BlurParams,
    KindParams,
    NoiseParams,
    RotationParams,
    ScaleParams,
    ShiftParams,
)
from pipeline.train.augmentation import Augmentation, kind_previews

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def only(**chosen: float) -> AugmentParams:
    """Params with the named kinds on at the given probability, all others off."""
    return AugmentParams(
        rotation=RotationParams(probability=chosen.get("rotation", 0.0), degrees=15.0),
        shift=ShiftParams(probability=chosen.get("shift", 0.0), fraction=0.25),
        scale=ScaleParams(probability=chosen.get("scale", 0.0), fraction=0.25),
        horizontal_flip=KindParams(probability=chosen.get("horizontal_flip", 0.0)),
        vertical_flip=KindParams(probability=chosen.get("vertical_flip", 0.0)),
        noise=NoiseParams(probability=chosen.get("noise", 0.0), std=0.1),
        blur=BlurParams(probability=chosen.get("blur", 0.0), kernel=5),
    )


EVERYTHING = only(
    rotation=0.7, shift=0.7, scale=0.5, horizontal_flip=0.5, vertical_flip=0.5, noise=0.5, blur=0.5
)


def draw(augmentation: Augmentation, epoch: int, index: int) -> npt.NDArray[np.uint8]:
    return augmentation(IMAGE, epoch, index)


def test_same_place_same_image_whatever_was_drawn_before() -> None:
    one, other = Augmentation(EVERYTHING, seed=3), Augmentation(EVERYTHING, seed=3)
    for index in range(20):
        draw(other, 7, index)
    for place in ((0, 0), (0, 1), (5, 1)):
        np.testing.assert_array_equal(draw(one, *place), draw(other, *place))


def test_a_worker_that_is_sent_it_draws_the_same() -> None:
    here = Augmentation(EVERYTHING, seed=3)
    draw(here, 1, 1)  # a generator in use travels in its state
    there = pickle.loads(pickle.dumps(here))  # noqa: S301 - what was just pickled
    for place in ((0, 0), (0, 1), (5, 1)):
        np.testing.assert_array_equal(draw(there, *place), draw(here, *place))


def test_epochs_indices_and_seeds_draw_differently() -> None:
    changes = {
        draw(Augmentation(EVERYTHING, seed), epoch, index).tobytes()
        for seed in range(4)
        for epoch in range(5)
        for index in range(5)
    }
    assert len(changes) > 95  # a few draws may leave an image as it is


def test_the_image_given_is_left_alone() -> None:
    before = IMAGE.copy()
    draw(Augmentation(EVERYTHING, 1), 0, 0)
    np.testing.assert_array_equal(IMAGE, before)


def test_nothing_is_changed_when_all_is_off() -> None:
    np.testing.assert_array_equal(draw(Augmentation(only(), 1), 0, 0), IMAGE)


@pytest.mark.parametrize("kind", ["rotation", "shift", "scale", "noise", "blur"])
def test_each_kind_changes_the_image(kind: str) -> None:
    changed = draw(Augmentation(only(**{kind: 1.0}), 1), 0, 0)
    assert changed.shape == IMAGE.shape
    assert changed.dtype == np.uint8
    assert not np.array_equal(changed, IMAGE)


def test_flips_mirror() -> None:
    across = draw(Augmentation(only(horizontal_flip=1.0), 1), 0, 0)
    down = draw(Augmentation(only(vertical_flip=1.0), 1), 0, 0)
    np.testing.assert_array_equal(across, IMAGE[:, ::-1])
    np.testing.assert_array_equal(down, IMAGE[::-1])


@pytest.mark.parametrize("kind", ["rotation", "shift", "scale", "horizontal_flip", "noise", "blur"])
def test_probability_is_the_share_of_images_changed(kind: str) -> None:
    augmentation = Augmentation(only(**{kind: 0.3}), 1)
    changed = [not np.array_equal(draw(augmentation, 0, index), IMAGE) for index in range(1000)]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.05)


def test_shift_moves_at_most_its_fraction() -> None:
    dot = np.zeros((33, 33, 3), dtype=np.uint8)
    dot[16, 16] = 255
    augmentation = Augmentation(only(shift=1.0), 1)
    rows, columns = zip(
        *(np.argwhere(augmentation(dot, 0, i)[..., 0] > 50).mean(axis=0) for i in range(300)),
        strict=True,
    )
    for moved in (np.array(rows) - 16, np.array(columns) - 16):
        assert 7 < np.abs(moved).max() <= 0.25 * 33 + 0.5
        assert np.abs(moved.mean()) < 1


def test_rotation_turns_at_most_its_degrees() -> None:
    bar = np.zeros((65, 65, 3), dtype=np.uint8)
    bar[32, 8:57] = 255
    augmentation = Augmentation(only(rotation=1.0), 1)
    angles = []
    for index in range(200):
        rows, columns = np.nonzero(augmentation(bar, 0, index)[..., 0] > 100)
        angles.append(np.degrees(np.arctan(np.polyfit(columns, rows, 1)[0])))
    assert 12 < max(angles) < 16
    assert -16 < min(angles) < -12


def test_scale_changes_lengths_by_at_most_its_fraction() -> None:
    bar = np.zeros((65, 65, 3), dtype=np.uint8)
    bar[28:37, 12:53] = 255
    augmentation = Augmentation(only(scale=1.0), 1)
    lengths = np.array(
        [np.count_nonzero(augmentation(bar, 0, i)[32, :, 0] > 127) for i in range(200)]
    )
    assert 0.75 * 41 - 1 <= lengths.min() < 0.8 * 41
    assert 1.2 * 41 < lengths.max() <= 1.25 * 41 + 1


def test_scale_keeps_the_centre() -> None:
    dot = np.zeros((33, 33, 3), dtype=np.uint8)
    dot[15:18, 15:18] = 255
    augmentation = Augmentation(only(scale=1.0), 1)
    for index in range(50):
        place = np.argwhere(augmentation(dot, 0, index)[..., 0] > 50).mean(axis=0)
        np.testing.assert_allclose(place, [16, 16], atol=0.3)


def test_scale_does_not_change_how_an_image_is_turned_and_moved() -> None:
    def with_scale(probability: float) -> AugmentParams:
        return only(rotation=1.0, shift=1.0, scale=probability)

    # Where a draw of scale is not used, all else must be as if there were none.
    plain, seldom = Augmentation(with_scale(0.0), 1), Augmentation(with_scale(0.3), 1)
    same = [np.array_equal(draw(plain, 0, i), draw(seldom, 0, i)) for i in range(500)]
    assert np.mean(same) == pytest.approx(0.7, abs=0.07)


def test_each_kind_has_a_preview_of_its_own_changes() -> None:
    side = len(IMAGE)
    previews = kind_previews(IMAGE, EVERYTHING, seed=1)
    assert set(previews) == set(AugmentParams.model_fields)
    for name, turned in (("horizontal_flip", IMAGE[:, ::-1]), ("vertical_flip", IMAGE[::-1])):
        tiles = previews[name]
        tile = (tiles.shape[1] - 12) // 2
        assert tile == max(96, side)
        step = tile // side
        original, version = (
            tiles[4 : 4 + tile : step, left : left + tile : step] for left in (4, 8 + tile)
        )
        np.testing.assert_array_equal(original, IMAGE)
        np.testing.assert_array_equal(version, turned)
