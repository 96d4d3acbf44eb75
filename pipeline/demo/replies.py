"""What the page asks for: a photo's answer and its augmentations, as JSON with pictures in it."""

import base64
import io
from collections.abc import Sequence
from typing import Any, Literal

import cv2
import numpy as np
from PIL import Image

from pipeline.common.artifact import Description
from pipeline.common.images import MAXIMUM_PIXELS, Pixels, decode, resize
from pipeline.demo.examples import Example
from pipeline.demo.kinds import Kind
from pipeline.demo.occlusion import PATCHES, occlusion_map, overlay, strongest
from pipeline.predict.classifier import ImageClassifier

MAXIMUM_BYTES = 20_000_000  # no camera's JPEG is larger
SIDE = 480  # pixels of the photo shown, on its longer side
NAME = "This file"  # the page says which

Json = dict[str, Any]


def about(description: Description, photos: Sequence[Example]) -> Json:
    """What the page shows before there is a photo."""
    return {
        "name": description.name,
        "classes": description.classes,
        "size": description.size,
        "patches": PATCHES,
        "maximum_bytes": MAXIMUM_BYTES,
        "too_large": too_large(),
        "limits": f"{MAXIMUM_BYTES // 10**6} MB and {MAXIMUM_PIXELS // 10**6} megapixels",
        "examples": [{"name": photo.name, "label": photo.label} for photo in photos],
    }


def too_large() -> str:
    """What is said of a file that is not even read."""
    return f"{NAME} has more than {MAXIMUM_BYTES // 10**6} MB; reduce the photo."


def answer(model: ImageClassifier, data: bytes) -> Json:
    """Classify a photo and find what the answer rests on.

    Args:
        model: The model.
        data: An image file.

    Raises:
        ImageError: It is no usable image.
    """
    description, photo = model.description, decode(data, NAME)
    pixels = resize(photo, description.size)
    (found,) = model.predictions(pixels[np.newaxis])
    drops = occlusion_map(model, pixels, description.classes.index(found.label))
    ranked = sorted(found.probabilities.items(), key=lambda one: -one[1])
    return {
        "label": found.label,
        "classes": [{"name": name, "probability": share} for name, share in ranked],
        "decision": description.decision.model_dump(),
        "photo": _data_uri(_as_shown(photo), "JPEG"),
        "map": _data_uri(overlay(drops), "PNG"),
        "strongest": strongest(drops),
    }


def augmentations(kinds: Sequence[Kind], size: int, data: bytes, number: int) -> Json:
    """What each kind makes of a photo.

    Args:
        kinds: The kinds.
        size: Pixels a side of the model's input.
        data: An image file.
        number: Which time they are drawn, from 0.

    Raises:
        ImageError: It is no usable image.
    """
    pixels = resize(decode(data, NAME), size)
    return {
        "original": _data_uri(pixels, "PNG"),
        "kinds": [
            {
                "name": kind.name,
                "probability": kind.probability,
                "strength": kind.strength,
                "drawn": [_data_uri(drawn, "PNG") for drawn in kind.draw(pixels, number)],
            }
            for kind in kinds
        ],
    }


def _as_shown(photo: Pixels) -> Pixels:
    height, width = photo.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(photo, size, interpolation=way), dtype=np.uint8)


def _data_uri(pixels: Pixels, form: Literal["JPEG", "PNG"]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{form.lower()};base64,{encoded}"
