"""Which pixels an answer rests on: how it changes while a patch of the photo is hidden.

Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks" (2014).
"""

import numpy as np
import numpy.typing as npt

from pipeline.common.images import Pixels
from pipeline.predict.classifier import ImageClassifier

PLACES = 14  # of the patch along a side: they overlap, which makes the map smooth
PATCHES = 5  # that fit along a side

FOR = (217, 72, 15)  # orange and blue are told apart by everybody
AGAINST = (28, 100, 242)
OPAQUE = 210  # of 255, where it matters most: the photo shows through
LEAST = 0.01  # of probability: a map of less than that is left pale

Drops = npt.NDArray[np.float64]


def occlusion_map(model: ImageClassifier, image: Pixels, label: int) -> Drops:
    """How much of a class's probability each pixel holds up.

    A patch in the colour that the training images have on average, which the network takes for
    nothing at all, is laid on one place after another.

    Args:
        model: The model.
        image: uint8 RGB [size, size, 3], as large as the model's input.
        label: The class, as an index.

    Returns:
        float64 [size, size]: by how much the probability falls while the pixel is hidden, as the
        mean over the patches that hide it; negative where it rises.
    """
    size = len(image)
    side = max(1, size // PATCHES)
    starts = np.unique(np.linspace(0, size - side, PLACES).round().astype(int))
    colour = np.rint(255 * np.array(model.description.mean)).astype(np.uint8)
    usual = model.probabilities(image[np.newaxis])[0, label]
    total, times = np.zeros((size, size)), np.zeros((size, size))
    for top in starts:
        hidden = np.stack([_hide(image, top, left, side, colour) for left in starts])
        for left, left_over in zip(starts, model.probabilities(hidden)[:, label], strict=True):
            place = np.s_[top : top + side, left : left + side]
            total[place] += usual - left_over
            times[place] += 1
    return np.asarray(total / times)


def strongest(drops: Drops) -> float:
    """The change of probability that is coloured most strongly; the same in both directions."""
    return max(float(np.abs(drops).max()), LEAST)


def overlay(drops: Drops) -> Pixels:
    """Colours to lay over the photo, the stronger the more a pixel matters.

    Args:
        drops: float64 [size, size], as `occlusion_map` gives them.

    Returns:
        uint8 RGBA [size, size, 4]; orange spoke for the class, blue against it.
    """
    strength = np.abs(drops) / strongest(drops)
    colours = np.where(drops[..., np.newaxis] > 0, FOR, AGAINST)
    return np.dstack([colours, np.rint(OPAQUE * strength)]).astype(np.uint8)


def _hide(image: Pixels, top: int, left: int, side: int, colour: Pixels) -> Pixels:
    hidden = image.copy()
    hidden[top : top + side, left : left + side] = colour
    return hidden
