"""Any picture to the network's input, by the functions that prepare the training images."""

from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.common.errors import ImageError
from pipeline.common.images import MINIMUM_SIDE, Pixels, convert, decode, resize

Picture = str | Path | Image.Image | Pixels


def to_pixels(picture: Picture, size: int, name: str) -> Pixels:
    """Prepare a picture as `pack` does.

    Args:
        picture: The path of an image file, a PIL image, or uint8 RGB [height, width, 3].
        size: Pixels a side.
        name: What to call a picture without a path in messages.

    Returns:
        uint8 [size, size, 3].

    Raises:
        ImageError: It is no usable image.
    """
    return resize(_pixels(picture, name), size)


def _pixels(picture: Picture, name: str) -> Pixels:
    if isinstance(picture, np.ndarray):
        _check_array(picture, name)
        return picture
    if isinstance(picture, Image.Image):
        return convert(picture, name)
    return decode(_read(Path(picture)), str(picture))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: no path can have a null character
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path} cannot be read ({reason})") from None


def _check_array(pixels: Pixels, name: str) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ImageError(
            f"{name} is {pixels.dtype} {list(pixels.shape)}; give uint8 RGB [height, width, 3]"
        )
    if min(pixels.shape[:2]) < MINIMUM_SIDE:
        raise ImageError(f"{name} is {list(pixels.shape)}; {MINIMUM_SIDE} pixels a side are needed")
