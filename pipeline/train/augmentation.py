"""Augmentation of training images by albumentations, with the randomness made an argument.

albumentations keeps generators inside `Compose`: workers would repeat each other's draws, and a run
could not be continued in the middle. So both are set before every image.
"""

import os
import random
from typing import Any

import numpy as np
import numpy.typing as npt

# albumentations calls the network when imported, unless told not to.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations
import cv2

from pipeline.common.drawing import image_grid
from pipeline.common.params import AugmentParams, RotationParams, ScaleParams, ShiftParams
from pipeline.common.randomness import Purpose, generator, seed_sequence

# On small images a thread pool costs more than it saves, and workers would fight for the cores.
cv2.setNumThreads(0)

Image = npt.NDArray[np.uint8]

LARGEST_SHOWN = 64  # pixels a side of an image in the preview


class Augmentation:
    """Augment images as a pure function of (seed, epoch, index).

    Args:
        params: Which changes, how often and how strong.
        seed: The run's seed.

    Attributes:
        changes: Whether any change is switched on.
    """

    def __init__(self, params: AugmentParams, seed: int) -> None:
        self._key = seed_sequence(seed, Purpose.AUGMENT).generate_state(2, np.uint64)
        self._philox = np.random.Philox(key=self._key)
        self._state: Any = dict(self._philox.state)
        self._random = random.Random()  # noqa: S311 - albumentations asks for this one
        active = transforms(params)
        self.changes = bool(active)
        self._compose = albumentations.Compose(active)
        self._compose.set_random_state(np.random.Generator(self._philox), self._random)

    def __call__(self, image: Image, epoch: int, index: int) -> Image:
        """Augment an image.

        Args:
            image: uint8 RGB [H, W, 3]; left unchanged.
            epoch: Epoch, from 0.
            index: The image's row in the training array.

        Returns:
            uint8 RGB [H, W, 3].
        """
        # Setting the counter takes 7 µs, seeding a generator 177 µs. Its low half is left for the
        # draws: 2^128 of them before the streams of two images would meet.
        counter = np.array([0, 0, index, epoch], dtype=np.uint64)
        self._state["state"] = {"counter": counter, "key": self._key}
        self._philox.state = self._state
        self._random.seed(int(self._key[0]) << 128 | epoch << 64 | index)
        augmented: Image = self._compose(image=image)["image"]
        return augmented


class Warp(albumentations.ImageOnlyTransform):
    """Rotation, translation and scale, each with its own probability, in one interpolation.

    Several of albumentations' Affine in a row would blur once each, and at 32 pixels the warp
    itself takes a tenth of the time that each spends around it. Rotation and scale are about the
    centre.
    """

    def __init__(self, rotation: RotationParams, shift: ShiftParams, scale: ScaleParams) -> None:
        kinds = (rotation, shift, scale)
        super().__init__(p=float(any(kind.probability > 0 for kind in kinds)))
        self._rotation = rotation
        self._shift = shift
        self._scale = scale

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw the matrix, float64 [2, 3], that maps old pixels to new ones.

        Everything is drawn, used or not, so that switching one kind changes no other.
        """
        height, width = params["shape"][:2]
        rotates, shifts, scales, *draws = self.random_generator.random(7).tolist()
        # A draw from 0…1 is spread over -1…1, either way.
        turn, right, down, growth = (2 * draw - 1 for draw in draws)
        degrees = turn * self._rotation.degrees * (rotates < self._rotation.probability)
        move = self._shift.fraction * (shifts < self._shift.probability)
        factor = 1 + growth * self._scale.fraction * (scales < self._scale.probability)
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, factor)
        matrix[0, 2] += right * move * width
        matrix[1, 2] += down * move * height
        return {"matrix": matrix}

    def apply(self, img: Image, matrix: npt.NDArray[np.float64], **_: Any) -> Image:  # noqa: ANN401
        """Warp uint8 [H, W, 3]; the gap at the edges mirrors what lies inside.

        Black corners instead would tell the network what was done to the picture.
        """
        size = (img.shape[1], img.shape[0])
        warped = cv2.warpAffine(
            img, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        return np.asarray(warped, dtype=np.uint8)


def transforms(params: AugmentParams) -> list[albumentations.BasicTransform]:
    """List the transforms that are switched on, in the order in which they are applied."""
    noise, blur = params.noise, params.blur
    every = [
        albumentations.HorizontalFlip(p=params.horizontal_flip.probability),
        albumentations.VerticalFlip(p=params.vertical_flip.probability),
        Warp(params.rotation, params.shift, params.scale),
        albumentations.GaussianBlur(blur_limit=(3, blur.kernel), p=blur.probability),
        albumentations.GaussNoise(std_range=(0.0, noise.std), p=noise.probability),
    ]
    return [transform for transform in every if transform.p > 0]


def alone(params: AugmentParams, kind: str) -> AugmentParams:
    """Return params that apply one kind of augmentation to every image, and no other."""
    changed = {
        name: {**section, "probability": float(name == kind)}
        for name, section in params.model_dump().items()
    }
    return AugmentParams.model_validate(changed)


def kind_previews(image: Image, params: AugmentParams, seed: int) -> dict[str, Image]:
    """Draw an image beside versions of it that one kind of augmentation made.

    Args:
        image: uint8 RGB [side, side, 3].
        params: As in training; here each kind has probability 1.
        seed: Of the draws.

    Returns:
        For each kind uint8 RGB [height, width, 3]: the image at the left, then its versions.
    """
    previews = {}
    for kind in AugmentParams.model_fields:
        augmentation = Augmentation(alone(params, kind), seed)
        versions = [augmentation(image, 0, index) for index in range(4)]
        different = {version.tobytes(): version for version in versions}  # a flip has only one
        cells = [image, *different.values()]
        previews[kind] = image_grid(cells, len(cells), tile=max(96, len(image)))
    return previews


def augmentation_preview(
    images: npt.NDArray[np.uint8], augmentation: Augmentation, seed: int
) -> Image:
    """Draw six images, and to the right of each what training makes of it in the first epochs.

    Args:
        images: uint8 [N, H, W, 3], the training images.
        augmentation: As in training.
        seed: Chooses the images.

    Returns:
        uint8 RGB [height, width, 3].
    """
    draw = generator(seed, Purpose.PREVIEW)
    chosen = sorted(draw.choice(len(images), min(6, len(images)), replace=False).tolist())
    cells = []
    for index in chosen:
        versions = [augmentation(images[index], epoch, index) for epoch in range(7)]
        cells += [images[index], *versions]
    # Of images for a backbone, a small version shows the change.
    tile = None if images.shape[1] <= LARGEST_SHOWN else LARGEST_SHOWN
    return image_grid(cells, 8, tile=tile, gap=2)
