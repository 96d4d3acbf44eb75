"""Near-duplicates: a photo after it was saved again, resized, cropped or brightened."""

from typing import TYPE_CHECKING

import cv2
import numpy as np

from scenes.camera import encode
from scenes.canvas import Picture

if TYPE_CHECKING:
    from cv2.typing import MatLike

CHANGES = ("save", "rescale", "crop", "brighten")


def near_duplicate(photo: bytes, rng: np.random.Generator) -> bytes:
    """Return a JPEG that shows the same as the JPEG `photo`, with other bytes."""
    decoded = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR_RGB)
    changed = _change(np.asarray(decoded, np.uint8), CHANGES[int(rng.integers(len(CHANGES)))])
    first, other = (int(quality) for quality in rng.permutation(np.arange(70, 96))[:2])
    duplicate = encode(changed, first)
    return duplicate if duplicate != photo else encode(changed, other)


def _change(picture: Picture, change: str) -> Picture:
    """Apply one of `CHANGES` to a picture, uint8 [S, S, 3]."""
    size = len(picture)
    changed: MatLike = picture
    if change == "rescale":
        smaller = (round(size * 0.96),) * 2
        changed = cv2.resize(picture, smaller, interpolation=cv2.INTER_AREA)
    elif change == "crop":
        margin = max(round(size * 0.01), 1)
        changed = picture[margin:-margin, margin:-margin]
    elif change == "brighten":
        changed = cv2.convertScaleAbs(picture, alpha=1.03, beta=4)
    if len(changed) != size:
        changed = cv2.resize(changed, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(changed, np.uint8)
