"""Painting on surfaces in space: polygons, lettering and lights, projected into a picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.synthetic.colours import Colour
from pipeline.dataset.synthetic.geometry import Floats, Point, View

Picture = NDArray[np.uint8]
Mapping = Callable[[Floats], Floats]

SUBPIXEL = 4  # bits of a pixel that OpenCV's polygons are drawn to
FAR_OUT = 6.0  # picture sides; a polygon further out than this is cut there


@dataclass
class Panel:
    """A surface that is painted in its own two coordinates and lies somewhere in space.

    Attributes:
        to_space: From its coordinates [N, 2] to points of space [N, 3].
        light: Its brightness at the centres [N, 2] of its polygons, float [N].
        facing: The sign of the signed area that its polygons have in the picture when seen from
            outside; 0 where the panel is known to be seen.
    """

    to_space: Mapping
    light: Mapping
    facing: int = 0
    outlines: list[Floats] = field(default_factory=list)
    colours: list[Colour] = field(default_factory=list)
    words: list[tuple[Picture, Floats, Colour]] = field(default_factory=list)

    def fill(self, outline: Sequence[Point] | Floats, colour: Colour) -> None:
        """Paint a polygon."""
        places = np.asarray(outline, dtype=np.float64)
        self.outlines.append(places if _area(places) >= 0 else places[::-1])
        self.colours.append(colour)

    def rectangle(self, x: Point, y: Point, colour: Colour) -> None:
        """Paint the rectangle of the two ranges, each from low to high."""
        corners = [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])]
        self.outlines.append(np.array(corners))
        self.colours.append(colour)

    def letter(self, stencil: Picture, corners: Sequence[Point], colour: Colour) -> None:
        """Spray a stencil; the corners are its top left, top right, bottom right, bottom left."""
        self.words.append((stencil, np.asarray(corners, dtype=np.float64), colour))

    def draw(self, picture: Picture, view: View) -> None:
        """Put everything painted so far into the picture."""
        if self.outlines:
            self._draw_outlines(picture, view)
        for stencil, corners, colour in self.words:
            pixels = view.project(self.to_space(corners))
            if self.facing == 0 or _area(pixels) > 0:  # else it is seen from behind
                spray(picture, stencil, pixels, colour)

    def _draw_outlines(self, picture: Picture, view: View) -> None:
        sizes = [len(outline) for outline in self.outlines]
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        places = np.concatenate(self.outlines)
        centres = np.add.reduceat(places, starts) / np.array(sizes)[:, None]
        pixels = view.project(self.to_space(places))
        paint = np.minimum(np.array(self.colours) * self.light(centres)[:, None], 255).tolist()
        seen = self._seen(pixels, starts, sizes)
        fixed = to_fixed(pixels, picture.shape[0])
        for start, size, colour, visible in zip(starts, sizes, paint, seen, strict=True):
            if visible:
                cv2.fillPoly(picture, [fixed[start : start + size]], colour, cv2.LINE_AA, SUBPIXEL)

    def _seen(self, pixels: Floats, starts: NDArray[np.int_], sizes: list[int]) -> list[bool]:
        if self.facing == 0:
            return [True] * len(sizes)
        after = np.arange(1, len(pixels) + 1)
        after[starts + sizes - 1] = starts
        cross = pixels[:, 0] * pixels[after, 1] - pixels[after, 0] * pixels[:, 1]
        return list(np.add.reduceat(cross, starts) * self.facing > 0)


def flat(points: Floats) -> Floats:
    """An even light for polygons at [N, 2]: ones, float [N]."""
    return np.ones(len(points))


def to_fixed(pixels: Floats, size: int) -> NDArray[np.int32]:
    """Pixels as OpenCV's fixed-point numbers, kept within what it can draw."""
    limit = FAR_OUT * size
    return (pixels.clip(-limit, limit) * (1 << SUBPIXEL) + 0.5).astype(np.int32)


def polygon(picture: Picture, pixels: Floats, colour: Colour) -> None:
    """Fill a polygon [N, 2] of the picture, its edge smoothed."""
    points = to_fixed(pixels, picture.shape[0])
    cv2.fillPoly(picture, [points], colour, cv2.LINE_AA, SUBPIXEL)


def spray(picture: Picture, stencil: Picture, corners: Floats, colour: Colour) -> None:
    """Colour the picture through a stencil, uint8 [H, W], stretched to the corners [4, 2]."""
    box = _box_within(corners, picture.shape[0])
    if box is None:
        return
    left, top, right, bottom = box
    mask = warp(stencil, corners - (left, top), (right - left, bottom - top))
    blend(picture[top:bottom, left:right], mask, colour)


def paste(picture: Picture, texture: Picture, corners: Floats) -> None:
    """Lay an opaque texture, uint8 [H, W, 3], over the quadrilateral of the corners [4, 2]."""
    box = _box_within(corners, picture.shape[0])
    if box is None:
        return
    left, top, right, bottom = box
    part = picture[top:bottom, left:right]
    shifted = corners - (left, top)
    laid = warp(texture, shifted, (right - left, bottom - top), cv2.BORDER_REPLICATE)
    mask = np.zeros(part.shape[:2], np.uint8)
    points = to_fixed(shifted, picture.shape[0])
    cv2.fillPoly(mask, [points], (255.0,), cv2.LINE_8, SUBPIXEL)
    cv2.copyTo(laid, mask, part)


def warp(
    texture: Picture, corners: Floats, size: tuple[int, int], border: int = cv2.BORDER_CONSTANT
) -> Picture:
    """The texture stretched to the corners [4, 2], in a picture of size (width, height)."""
    height, width = texture.shape[:2]
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(source, corners.astype(np.float32))
    return np.asarray(
        cv2.warpPerspective(texture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=border),
        dtype=np.uint8,
    )


def blend(part: Picture, mask: Picture, paint: Colour | Picture) -> None:
    """Mix paint into a part of a picture, in place, by a mask, uint8 [H, W]."""
    share = mask[..., None].astype(np.uint16)
    mixed = part * (255 - share) + np.asarray(paint, np.uint16) * share
    part[:] = (mixed + 127) // 255


def add_light(picture: Picture, centre: Point, radius: float, colour: Colour) -> None:
    """Add a soft glow about a pixel, in place."""
    side = int(np.ceil(radius))
    if side < 1:
        return
    row, column = round(centre[1]) - side, round(centre[0]) - side
    top, left = max(row, 0), max(column, 0)
    part = picture[top : row + 2 * side, left : column + 2 * side]
    if row + 2 * side <= 0 or column + 2 * side <= 0 or part.size == 0:
        return
    glow = cv2.resize(_glow(), (2 * side, 2 * side), interpolation=cv2.INTER_AREA)
    cut = glow[top - row :, left - column :][: part.shape[0], : part.shape[1], None]
    light = np.asarray(cut * np.array(colour, np.float32), np.uint8)
    part[:] = cv2.add(part, light)


@lru_cache(maxsize=1)
def _glow() -> NDArray[np.float32]:
    """A bright core in a wide faint halo, 0 to 1."""
    axis = np.linspace(-1, 1, 96, dtype=np.float32)
    distance = np.hypot(axis[:, None], axis[None])
    halo = np.clip(1 - distance, 0, 1) ** 2
    return np.asarray(0.55 * halo + 0.45 * np.exp(-((distance * 6) ** 2)), np.float32)


@lru_cache(maxsize=256)
def stencil(word: str) -> Picture:
    """A word as a mask, uint8 [H, W], cut close to its letters."""
    face, scale, thickness = cv2.FONT_HERSHEY_DUPLEX, 1.0, 2
    (width, height), base = cv2.getTextSize(word, face, scale, thickness)
    mask = np.zeros((height + base + 16, width + 24), np.uint8)
    cv2.putText(mask, word, (8, height + 6), face, scale, (255.0,), thickness, cv2.LINE_AA)
    x, y, wide, high = cv2.boundingRect(mask)
    return np.ascontiguousarray(mask[y : y + high, x : x + wide])


def _box_within(corners: Floats, size: int) -> tuple[int, int, int, int] | None:
    low = np.clip(np.floor(corners.min(axis=0)), 0, size).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)), 0, size).astype(int)
    if (high - low < 1).any():
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _area(points: Floats) -> float:
    """Twice the signed area of a polygon; in plain Python, as most have four corners."""
    total, (before_x, before_y) = 0.0, points[-1].tolist()
    for x, y in points.tolist():
        total += before_x * y - before_y * x
        before_x, before_y = x, y
    return total
