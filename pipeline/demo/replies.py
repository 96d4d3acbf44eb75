"""The contents of the demo: example photos, predictions, occlusion maps and augmentations."""

from collections.abc import Iterator
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import cv2
import numpy as np
from pydantic import ValidationError

from pipeline.common import paths
from pipeline.common.artifact import DESCRIPTION, DRAWN, RESTORE, Description
from pipeline.common.datasets import SPLIT_COLUMNS, read_table
from pipeline.common.drawing import data_uri, encode_jpeg, encode_png
from pipeline.common.errors import ArtifactError
from pipeline.common.images import MAXIMUM_PIXELS, decode, resize
from pipeline.common.params import AugmentParams
from pipeline.demo.occlusion import FULL_SCALE, PATCHES, POSITIONS, occlusion_map, overlay
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

Json = dict[str, Any]


class Example(NamedTuple):
    """A photo whose class is known: its file's name, its class and the image file."""

    name: str
    label: str
    data: bytes


def examples() -> list[Example]:
    """Return up to `EXAMPLES` photos that were not used in training, the classes in turn.

    They are from the test split where its images are present, otherwise drawn.
    """
    if not (paths.SPLIT_CSV.is_file() and paths.RAW_IMAGES.is_dir()):
        return [
            Example(
                f"drawn {index}.jpg",
                DRAWN_LABELS[index % 2],
                photograph(DRAWN_SEED, index, index % 2, DRAWN_SIDE),
            )
            for index in range(EXAMPLES)
        ]
    rows = read_table(paths.SPLIT_CSV, SPLIT_COLUMNS, text=True)
    shown = rows["image"].map(lambda image: PurePosixPath(image).suffix.lower() in SHOWN)
    rows = rows[shown & (rows["split"] == "test")]
    turns = rows.groupby("label").cumcount().sort_values(kind="stable")
    in_turn = zip(rows["image"][turns.index], rows["label"][turns.index], strict=True)
    present = (pair for pair in in_turn if (paths.RAW_IMAGES / pair[0]).is_file())
    return [
        Example(image, label, (paths.RAW_IMAGES / image).read_bytes())
        for image, label in islice(present, EXAMPLES)
    ]


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
    """Classify a photo.

    Args:
        model: The model.
        data: An image file.

    Raises:
        ImageError: It is not a usable image.
    """
    photo = decode(data, NAME)
    (found,) = model.predictions(resize(photo, model.description.size)[np.newaxis])
    height, width = photo.shape[:2]
    scale = SIDE / max(height, width)
    shown = cv2.resize(
        photo,
        (max(1, round(width * scale)), max(1, round(height * scale))),
        interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
    )
    ranked = sorted(found.probabilities.items(), key=lambda item: -item[1])
    return {
        "label": found.label,
        "classes": [{"name": name, "probability": share} for name, share in ranked],
        "decision": model.description.decision.model_dump(),
        "photo": data_uri(encode_jpeg(shown.astype(np.uint8)), "image/jpeg"),
    }


def occlusion(model: ImageClassifier, data: bytes) -> Iterator[Json]:
    """Measure which pixels the prediction for a photo rests on.

    Args:
        model: The model.
        data: An image file.

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

    Args:
        description: Of the model.

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
            data: An image file.
            number: How often this photo was augmented before.

        Raises:
            ImageError: It is not a usable image.
        """
        pixels = resize(decode(data, NAME), self._size)
        kinds = []
        for name, augmentation in self._kinds.items():
            drawn = [augmentation(pixels, number, index) for index in range(DRAWS)]
            different = {image.tobytes(): image for image in drawn}.values()  # a flip has only one
            settings = dict(self._sections.get(name, {}))
            kinds.append(
                {
                    "name": name,
                    "probability": settings.pop("probability", None),
                    "settings": settings,
                    "images": [data_uri(encode_png(image)) for image in different],
                }
            )
        note = "" if kinds else NOT_INSTALLED
        return {"original": data_uri(encode_png(pixels)), "kinds": kinds, "note": note}
