"""The occlusion map finds the pixels that the network looks at."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import load
from pipeline.common.images import Pixels
from pipeline.demo.replies import (
    AGAINST,
    FOR,
    FULL_SCALE,
    OPAQUE,
    Changes,
    occlusion_map,
    overlay,
)
from pipeline.predict.classifier import ImageClassifier
from tests.helpers.artifacts import network, write

SIZE = 20
PATCH = 4  # a fifth of it


@pytest.fixture
def looks_at_a_corner(tmp_path: Path) -> ImageClassifier:
    """A network that predicts `emergency` where the upper left corner is bright."""
    model = network(size=SIZE, hidden=[])
    (linear,) = (layer for layer in model.modules() if isinstance(layer, torch.nn.Linear))
    looked_at = torch.zeros(SIZE, SIZE, 3)
    looked_at[:PATCH, :PATCH] = 0.02
    linear.bias.data.zero_()
    linear.weight.data = torch.stack([torch.zeros(looked_at.numel()), looked_at.flatten()])
    return load(write(tmp_path / "model", model, hidden=[]))


def whole_map(model: ImageClassifier, image: Pixels, label: int) -> Changes:
    *_, changes = occlusion_map(model, image, label)
    return changes


@pytest.mark.parametrize(("label", "sign"), [(1, 1), (0, -1)])
def test_only_what_the_network_looks_at_matters(
    looks_at_a_corner: ImageClassifier, label: int, sign: int
) -> None:
    image = np.full((SIZE, SIZE, 3), 250, np.uint8)
    changes = sign * whole_map(looks_at_a_corner, image, label)
    assert changes.argmax() == 0, "the corner itself matters most"
    assert (changes[:PATCH, :PATCH] > 0.01).all()
    outside = changes[2 * PATCH :, 2 * PATCH :]
    np.testing.assert_allclose(outside, 0, atol=1e-6)


def test_hiding_everything_that_counts_leaves_the_bias_of_the_network(
    looks_at_a_corner: ImageClassifier,
) -> None:
    image = np.full((SIZE, SIZE, 3), 250, np.uint8)
    usual = looks_at_a_corner.probabilities(image[np.newaxis])[0, 1]
    changes = whole_map(looks_at_a_corner, image, 1)
    # Only the patch in the corner hides the first pixel, and it hides all that is looked at.
    assert changes[0, 0] == pytest.approx(usual - 0.5, abs=0.01)


def test_a_photo_of_the_average_colour_has_nothing_to_hide(
    looks_at_a_corner: ImageClassifier,
) -> None:
    mean = np.rint(255 * np.array(looks_at_a_corner.description.mean)).astype(np.uint8)
    changes = whole_map(looks_at_a_corner, np.tile(mean, (SIZE, SIZE, 1)), 1)
    np.testing.assert_array_equal(changes, 0)


def test_colours_show_how_much_and_which_way() -> None:
    full = FULL_SCALE
    colours = overlay(np.array([[full, -full], [full / 2, 0.0]]))
    assert colours[0, 0].tolist() == [*FOR, OPAQUE]
    assert colours[0, 1].tolist() == [*AGAINST, OPAQUE]
    assert colours[1, 0].tolist() == [*FOR, OPAQUE // 2]
    assert colours[1, 1, 3] == 0


def test_all_photos_have_one_scale() -> None:
    weak, strong = (overlay(np.full((2, 2), change))[..., 3] for change in (0.01, 1.0))
    np.testing.assert_array_equal(weak, round(OPAQUE * 0.01 / FULL_SCALE))
    np.testing.assert_array_equal(strong, OPAQUE)


def test_the_map_grows_row_by_row(looks_at_a_corner: ImageClassifier) -> None:
    image = np.full((SIZE, SIZE, 3), 250, np.uint8)
    first, *_, last = occlusion_map(looks_at_a_corner, image, 1)
    np.testing.assert_array_equal(first[PATCH:], 0)
    assert first[0, 0] == last[0, 0] > 0
