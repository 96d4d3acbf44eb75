"""Occlusion map: which pixels a prediction rests on.

A patch covers one place of the image after another, and each time the probability of the predicted
class changes. Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks"
(2014).
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pipeline.common.images import Pixels
from pipeline.predict.classifier import ImageClassifier

POSITIONS = 14  # of the patch along a side: they overlap, which makes the map smooth
PATCHES = 5  # that fit along a side without overlap

FOR = (217, 72, 15)  # colour-blind readers can tell orange from blue
AGAINST = (28, 100, 242)
OPAQUE = 210  # of 255, in the strongest colour: the photo shows through
# The change of probability that has the strongest colour: the same for all photos, so that their
# maps can be compared. Of 120 test photos of the embedded data, the largest change within a photo
# was 0.14 in the median and 0.37 at the 95th percentile.
FULL_SCALE = 0.25

Changes = npt.NDArray[np.float64]


def occlusion_map(model: ImageClassifier, image: Pixels, label: int) -> Iterator[Changes]:
    """Measure how much of a class's probability depends on each pixel.

    The patch has the mean colour of the training images, which carries no information for the
    network.

    Args:
        model: The model.
        image: uint8 RGB [size, size, 3], as large as the model's input.
        label: Index of the class.

    Yields:
        After each of the rows of patches, the map so far, float64 [size, size]: by how much the
        probability falls while a pixel is covered, as the mean over the patches that cover it;
        negative where it rises, 0 where nothing was covered yet. The last one is complete.
    """
    size = len(image)
    side = max(1, size // PATCHES)
    starts = np.unique(np.linspace(0, size - side, POSITIONS).round().astype(int))
    colour = np.rint(255 * np.array(model.description.mean)).astype(np.uint8)
    uncovered = model.probabilities(image[np.newaxis])[0, label]
    total, times = np.zeros((size, size)), np.zeros((size, size))
    for top in starts:
        covered = np.repeat(image[np.newaxis], len(starts), axis=0)
        for copy, left in zip(covered, starts, strict=True):
            copy[top : top + side, left : left + side] = colour
        for left, probability in zip(starts, model.probabilities(covered)[:, label], strict=True):
            place = np.s_[top : top + side, left : left + side]
            total[place] += uncovered - probability
            times[place] += 1
        yield total / np.maximum(times, 1)


def overlay(changes: Changes) -> Pixels:
    """Colour a map, to be laid over the photo: the stronger, the more a pixel matters.

    Args:
        changes: float64 [size, size], as `occlusion_map` yields them.

    Returns:
        uint8 RGBA [size, size, 4]: orange where pixels count for the class, blue where they count
        against it; in the strongest colour from `FULL_SCALE` on.
    """
    strength = np.minimum(np.abs(changes) / FULL_SCALE, 1)
    colours = np.where(changes[..., np.newaxis] > 0, FOR, AGAINST)
    return np.dstack([colours, np.rint(OPAQUE * strength)]).astype(np.uint8)
