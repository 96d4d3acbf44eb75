"""Colours, grids of images, pictures as PNG bytes or data URIs, and the style of every plot.

Pictures are drawn with Pillow. Matplotlib, which is slow to import, is needed by plots alone.
"""

import base64
from collections.abc import Callable, Sequence
from functools import wraps
from io import BytesIO
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pixels = npt.NDArray[np.uint8]
Line = tuple[str, str]  # a line of a caption, and its colour

# The palette of every plot and picture. Colour-blind readers can tell blue from red, and every
# colour has a contrast of at least 4.5 on white, so that text in it can be read.
TRAIN, VALIDATION = "#1f6feb", "#d1242f"
RIGHT, WRONG = "#1a7f37", "#b3261e"
INK, FAINT, PAPER = "#24292f", "#6e7781", "#ffffff"

FONT = 13  # pixels
LINE_HEIGHT = 16

STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "grid.color": "#d8dee4",
    "text.color": INK,
    "text.parse_math": False,  # names of classes and files may hold dollar signs
    "xtick.color": INK,
    "ytick.color": INK,
}
DPI = 160
WIDTH = 4.6  # inches: 736 pixels, which stay readable when a phone shrinks them

P = ParamSpec("P")


def image_grid(
    images: Sequence[Pixels],
    columns: int,
    *,
    tile: int | None = None,
    gap: int = 4,
    captions: Sequence[Sequence[Line]] = (),
) -> Pixels:
    """Arrange images in rows, each above its caption.

    Args:
        images: uint8 RGB [H, W, 3] each; all of one size where `tile` is None.
        columns: Images in a row.
        tile: Pixels a side of each image in the grid; None to leave the images as they are.
            Enlarging repeats pixels, so that they show what a network sees.
        gap: Pixels of white between images and at the edges.
        captions: For each image, lines of text and their colours. A line that is too long loses its
            beginning, as file names differ at their ends.

    Returns:
        uint8 RGB [height, width, 3]; one white pixel where there are no images.
    """
    if not images:
        return np.full((1, 1, 3), 255, np.uint8)
    width, height = (tile, tile) if tile else (images[0].shape[1], images[0].shape[0])
    below = LINE_HEIGHT * max(map(len, captions), default=0)
    rows = -(-len(images) // columns)
    size = (columns * (width + gap) + gap, rows * (height + below + gap) + gap)
    sheet = Image.new("RGB", size, PAPER)
    for index, pixels in enumerate(images):
        row, column = divmod(index, columns)
        left, top = gap + column * (width + gap), gap + row * (height + below + gap)
        image = Image.fromarray(np.ascontiguousarray(pixels))
        if image.size != (width, height):
            enlarged = image.width <= width and image.height <= height
            image = image.resize(
                (width, height), Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX
            )
        sheet.paste(image, (left, top))
        for line, (text, colour) in enumerate(captions[index] if captions else ()):
            at = (left, top + height + line * LINE_HEIGHT)
            write_text(sheet, at, text, colour=colour, width=width)
    return np.asarray(sheet)


def write_text(
    sheet: Image.Image,
    at: tuple[int, int],
    text: str,
    *,
    size: int = FONT,
    colour: str = INK,
    width: int | None = None,
) -> None:
    """Write one line of text `at` (left, top), in pixels; beyond `width` it loses its beginning."""
    font = ImageFont.load_default(size)
    shown = text
    while width is not None and text and font.getlength(shown) > width:
        text = text[1:]
        shown = f"…{text}"
    ImageDraw.Draw(sheet).text(at, shown, colour, font)


def encode_png(pixels: Pixels) -> bytes:
    """Return an image, uint8 RGB [H, W, 3], as the bytes of a PNG file."""
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return buffer.getvalue()


def encode_jpeg(pixels: Pixels, quality: int = 80) -> bytes:
    """Return an image, uint8 RGB [H, W, 3], as the bytes of a JPEG file."""
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def data_uri(content: bytes, mime: str = "image/png") -> str:
    """Return the content of a file as a `data:` URI, to embed in a page."""
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"


def png(figure: "Figure", dpi: int = DPI) -> bytes:
    """Return a figure as PNG bytes that depend on nothing but the figure."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def plot(draw: Callable[P, "Figure"]) -> Callable[P, bytes]:
    """Decorate a function that returns a figure: it draws in `STYLE` and returns PNG bytes."""
    from matplotlib import rc_context  # noqa: PLC0415 - only where there are plots

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> bytes:
        with rc_context(STYLE):
            return png(draw(*args, **kwargs))

    return drawn
