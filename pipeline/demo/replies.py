"""The contents of the demo: example photos, predictions, occlusion maps and augmentations.

An occlusion map shows which pixels a prediction rests on: a patch covers one place of the image
after another, and each time the probability of the predicted class changes. Source: Zeiler and
Fergus, "Visualizing and understanding convolutional networks" (2014).
"""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import ValidationError

from pipeline.common import paths
from pipeline.common.artifact import DESCRIPTION, DRAWN, RESTORE, Description
from pipeline.common.datasets import SPLIT_COLUMNS, read_table
from pipeline.common.drawing import data_uri, encode_jpeg, encode_png
from pipeline.common.errors import ArtifactError
from pipeline.common.images import MAXIMUM_PIXELS, Pixels, decode, resize
from pipeline.common.params import AugmentParams
from pipeline.predict.classifier import ImageClassifier
from scenes import photograph

MAXIMUM_BYTES = 20_000_000  # no camera's JPEG is larger
TOO_MANY_BYTES = f"This file has more than {MAXIMUM_BYTES // 10**6} MB; reduce the photo."
NAME = "This file"  # in messages: the page knows its name
SIDE = 480  # pixels of the photo shown, on its longer side

EXAMPLES = 12
SHOWN = frozenset({".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp"})  # by every browser
DRAWN_SEED = 2352  # not the data's default, so that the model was not trained on these scenes
DRAWN_SIDE = 224
DRAWN_LABELS = ("other", "emergency")

DRAWS = 3  # of each kind of augmentation
NOT_INSTALLED = "Not shown: this needs albumentations, which comes with bluelight[train]."
AUGMENTATION_SEED = 0
ALL_KINDS = "all"  # no kind has this name

POSITIONS = 14  # of the patch along a side: they overlap, which makes the map smooth
PATCHES = 5  # that fit along a side without overlap

FOR = (217, 72, 15)  # colour-blind readers can tell orange from blue
AGAINST = (28, 100, 242)
OPAQUE = 210  # of 255, in the strongest colour: the photo shows through
# The change of probability that has the strongest colour: the same for all photos, so that their
# maps can be compared. Of 120 test photos of the embedded data, the largest change within a photo
# was 0.14 in the median and 0.37 at the 95th percentile.
FULL_SCALE = 0.25

Json = dict[str, Any]
Changes = npt.NDArray[np.float64]


class Example(NamedTuple):
    """A photo whose class is known: its file's name, its class and the image file."""

    name: str
    label: str
    data: bytes


def examples() -> list[Example]:
    """Return up to `EXAMPLES` photos that were not used in training, the classes in turn.

    They are from the test split where its images are present, otherwise drawn.
    """
    found = []
    if not (paths.SPLIT_CSV.is_file() and paths.RAW_IMAGES.is_dir()):
        for index in range(EXAMPLES):
            data = photograph(DRAWN_SEED, index, index % 2, DRAWN_SIDE)
            found.append(Example(f"drawn {index}.jpg", DRAWN_LABELS[index % 2], data))
        return found
    rows = read_table(paths.SPLIT_CSV, SPLIT_COLUMNS, text=True)
    shown = rows["image"].map(lambda image: PurePosixPath(image).suffix.lower() in SHOWN)
    rows = rows[shown & (rows["split"] == "test")]
    in_turn = rows.loc[rows.groupby("label").cumcount().sort_values(kind="stable").index]
    for image, label in zip(in_turn["image"], in_turn["label"], strict=True):
        path = paths.RAW_IMAGES / image
        if len(found) < EXAMPLES and path.is_file():
            found.append(Example(image, label, path.read_bytes()))
    return found


def about(description: Description, photos: list[Example]) -> Json:
    """Return what the page shows before there is a photo."""
    return {
        "name": description.name,
        "classes": description.classes,
        "size": description.size,
        "source": description.data.get("source"),
        "drawn": description.data.get("source") == DRAWN,
        "patches": PATCHES,
        "full_scale": FULL_SCALE,
        "maximum_bytes": MAXIMUM_BYTES,
        "too_many_bytes": TOO_MANY_BYTES,
        "limits": f"{MAXIMUM_BYTES // 10**6} MB and {MAXIMUM_PIXELS // 10**6} megapixels",
        "examples": [photo.label for photo in photos],
    }


def prediction(model: ImageClassifier, data: bytes) -> Json:
    """Classify a photo, the bytes of an image file; raises `ImageError` where it is unusable."""
    photo = decode(data, NAME)
    (found,) = model.predictions(resize(photo, model.description.size)[np.newaxis])
    picture = Image.fromarray(photo)
    width, height = (max(1, round(side * SIDE / max(picture.size))) for side in picture.size)
    shown = np.asarray(picture.resize((width, height)))
    ranked = sorted(found.probabilities.items(), key=lambda item: -item[1])
    return {
        "label": found.label,
        "classes": [{"name": name, "probability": share} for name, share in ranked],
        "decision": model.description.decision.model_dump(),
        "photo": data_uri(encode_jpeg(shown), "image/jpeg"),
    }


def occlusion_map(model: ImageClassifier, image: Pixels, label: int) -> Iterator[Changes]:
    """Measure how much of a class's probability depends on each pixel.

    The patch has the mean colour of the training images, which carries no information for the
    network.

    Args:
        model: Its input has the size of the image.
        image: uint8 RGB [size, size, 3].
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
        places = [np.s_[top : top + side, left : left + side] for left in starts]
        covered = np.repeat(image[np.newaxis], len(starts), axis=0)
        for copy, place in zip(covered, places, strict=True):
            copy[place] = colour
        for place, probability in zip(places, model.probabilities(covered)[:, label], strict=True):
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


def occlusion(model: ImageClassifier, data: bytes) -> Iterator[Json]:
    """Measure which pixels the prediction for a photo, the bytes of an image file, rests on.

    Yields:
        After each row of patches the share that is `done` and the `map` so far, a picture to lay
        over the photo.

    Raises:
        ImageError: It is not a usable image; before the first item.
    """
    pixels = resize(decode(data, NAME), model.description.size)
    (found,) = model.predictions(pixels[np.newaxis])
    label = model.description.classes.index(found.label)
    rows = min(POSITIONS, model.description.size)
    for row, changes in enumerate(occlusion_map(model, pixels, label), start=1):
        yield {"done": min(row / rows, 1), "map": data_uri(encode_png(overlay(changes)))}


class Augmentations:
    """Every kind of augmentation by itself, and all together, with the params that trained a model.

    Raises:
        ArtifactError: `model.json` does not say how the training images were augmented.
    """

    def __init__(self, description: Description) -> None:
        try:
            params = AugmentParams.model_validate(description.training.get("augment"))
        except ValidationError as error:
            raise ArtifactError(
                f"{DESCRIPTION} does not say how the training images of {description.name} were "
                f"augmented ({error.errors()[0]['msg']}); {RESTORE}"
            ) from None
        self._size = description.size
        self._sections: dict[str, dict[str, float]] = params.model_dump()
        self._kinds: dict[str, Any] = {}
        try:
            from pipeline.train.augmentation import Augmentation, alone  # noqa: PLC0415 - an extra
        except ModuleNotFoundError:
            return
        self._kinds = {
            name: Augmentation(alone(params, name), AUGMENTATION_SEED) for name in self._sections
        }
        self._kinds[ALL_KINDS] = Augmentation(params, AUGMENTATION_SEED)

    def draw(self, data: bytes, number: int) -> Json:
        """Augment a photo by each kind at probability 1, and by all as in training.

        Args:
            data: An image file; `ImageError` is raised where it is unusable.
            number: How often this photo was augmented before.
        """
        pixels = resize(decode(data, NAME), self._size)
        kinds = []
        for name, augmentation in self._kinds.items():
            drawn = [augmentation(pixels, number, index) for index in range(DRAWS)]
            images = dict.fromkeys(data_uri(encode_png(image)) for image in drawn)
            settings = dict(self._sections.get(name, {}))
            kinds.append(
                {
                    "name": name,
                    "probability": settings.pop("probability", None),
                    "settings": settings,
                    "images": list(images),  # different ones: a flip has only one
                }
            )
        note = "" if kinds else NOT_INSTALLED
        return {"original": data_uri(encode_png(pixels)), "kinds": kinds, "note": note}
