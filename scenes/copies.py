"""Near copies: what becomes of a photo that is saved again, resized, cropped or brightened."""

from collections.abc import Callable

import cv2
import numpy as np

from scenes.camera import encode
from scenes.canvas import Picture

Change = Callable[[Picture], Picture]


def _resaved(picture: Picture) -> Picture:
    return picture


def _rescaled(picture: Picture) -> Picture:
    """Smaller by 4 % and back."""
    size = len(picture)
    less = round(size * 0.96)
    small = cv2.resize(picture, (less, less), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def _cropped(picture: Picture) -> Picture:
    """Without a margin of 1 %, at least a pixel."""
    size = len(picture)
    margin = max(round(size * 0.01), 1)
    inner = picture[margin:-margin, margin:-margin]
    return np.asarray(cv2.resize(inner, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def _brightened(picture: Picture) -> Picture:
    return np.asarray(cv2.convertScaleAbs(picture, alpha=1.03, beta=4), np.uint8)


CHANGES: tuple[Change, ...] = (_resaved, _rescaled, _cropped, _brightened)


def near_copy(photo: bytes, rng: np.random.Generator) -> bytes:
    """A JPEG that shows the same as `photo`, itself a JPEG, but has other bytes."""
    picture = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR_RGB)
    change = CHANGES[int(rng.integers(len(CHANGES)))]
    changed = change(np.asarray(picture, np.uint8))
    first, other = (int(quality) for quality in rng.permutation(np.arange(70, 96))[:2])
    copy = encode(changed, first)
    return copy if copy != photo else encode(changed, other)
