"""Image files to pixels: every check, every conversion, in one place for all stages.

Pillow decodes: unlike OpenCV it refuses truncated files, knows the size before it decodes, detects
animations, and reads palettes, CMYK and 16 bits. OpenCV resizes.
"""

import ctypes
import io
import logging
import warnings
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import PIL
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from pipeline.common.errors import ImageError, one_line

Pixels = npt.NDArray[np.uint8]

MINIMUM_SIDE = 8
MAXIMUM_PIXELS = 80_000_000  # below this, Pillow's own limit does not interfere

# Formats that only hold pixels. Others that Pillow knows run programs (EPS) or fetch more files.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".bmp", ".dib", ".gif", ".webp"}
    | {".tif", ".tiff", ".ppm", ".pgm", ".pnm"}
)


def decode(source: bytes | Image.Image, name: str) -> Pixels:
    """Decode an image file, or an image that Pillow has opened, to upright 8-bit RGB.

    The EXIF orientation is applied, transparency is laid over white, grayscale and palette become
    RGB, CMYK is converted, of 16 bits the upper 8 are kept.

    Args:
        source: The whole file, or the image, which is left as it is.
        name: What to call it in messages.

    Returns:
        uint8 [height, width, 3], RGB, read-only.

    Raises:
        ImageError: The file is empty, not an image, truncated, damaged, animated, smaller than
            8 pixels a side, over 80 megapixels, or its pixels are not colours.
    """
    if source == b"":
        raise ImageError(f"{name} is empty (0 bytes)")
    # Decoders warn of oddities that do no harm, such as malformed EXIF.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The one boundary to the decoders: hostile bytes make them raise almost anything, anywhere.
        try:
            if isinstance(source, Image.Image):
                return _to_pixels(source, name)
            with Image.open(io.BytesIO(source), formats=FORMATS) as image:
                return _to_pixels(image, name)
        except ImageError:
            raise
        except UnidentifiedImageError:
            formats = f"{', '.join(FORMATS[:-1])} and {FORMATS[-1]}"
            raise ImageError(f"{name} is not an image ({formats} are read)") from None
        except Image.DecompressionBombError:
            raise ImageError(_too_large(name)) from None
        except Exception as error:
            state = "is truncated" if "truncated" in str(error) else "is damaged"
            raise ImageError(f"{name} {state} ({one_line(error)})") from None


def resize(image: Pixels, size: int) -> Pixels:
    """Resize to a square: area interpolation where a side shrinks, bilinear where it grows.

    The whole picture is kept, not its aspect ratio: a crop would cut off what reveals an emergency
    vehicle (a light bar on the roof, the ends of a long lorry), and padding would waste inputs of
    the network.

    Args:
        image: uint8 [height, width, 3] or [height, width].
        size: Pixels a side.

    Returns:
        uint8 [size, size, 3] or [size, size].
    """
    height, width = image.shape[:2]
    # In two steps: INTER_AREA is no longer an average once either side grows.
    smaller = (min(width, size), min(height, size))
    shrunk = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
    square = cv2.resize(shrunk, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(square, dtype=np.uint8)


def _to_pixels(image: Image.Image, name: str) -> Pixels:
    width, height = image.size
    if width * height > MAXIMUM_PIXELS:
        raise ImageError(_too_large(name))
    if min(width, height) < MINIMUM_SIDE:
        raise ImageError(
            f"{name} is {width}x{height} pixels; at least {MINIMUM_SIDE} a side are needed"
        )
    # Phones write MPO: the photo first, then previews of it.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise ImageError(f"{name} is an animation or has several pages; one picture is needed")
    image.load()
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:  # otherwise it would be copied
        image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ImageError(f"{name} has floating-point pixels; save it with 8 bits per channel")
    if image.mode.startswith("I"):
        # Keep the upper byte; Pillow's own conversion would clip at 255.
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise ImageError(f"{name} has 32-bit pixels; save it with 8 bits per channel")
        grey = (values.astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image if image.mode == "RGBA" else image.convert("RGBA"))
        image = opaque
    # No copy of what is RGB already, nor of its bytes: of 80 megapixels, each has 240 MB.
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _silence_decoders() -> None:
    """Keep decoders from printing what Pillow raises as well."""
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    # Pillow does not set libtiff's handlers, which print to the process's stderr.
    for library in (Path(PIL.__file__).parents[1] / "pillow.libs").glob("libtiff*"):
        tiff = ctypes.CDLL(str(library))
        for handler in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            getattr(tiff, handler)(None)


_silence_decoders()


def _too_large(name: str) -> str:
    return f"{name} has more than {MAXIMUM_PIXELS // 10**6} megapixels; reduce it"
