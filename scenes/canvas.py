"""Paint on surfaces in space: polygons, lettering and lights, projected into a picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import compress, repeat

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.colours import Colour
from scenes.geometry import Floats, Point, View

Picture = NDArray[np.uint8]
Mapping = Callable[[Floats], Floats]

SUBPIXEL = 4  # fractional bits of the coordinates of OpenCV's polygons
FAR_OUT = 6.0  # picture sides; polygons are clipped at this distance


@dataclass
class Drawing:
    """Polygons and their colours, in painting order.

    Attributes:
        places: x and y of all corners of all polygons, one after the other.
        sizes: Number of corners of each polygon.
        colours: The colour of each polygon.
    """

    places: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    colours: list[Colour] = field(default_factory=list)

    def fill(self, outline: Sequence[Point] | Floats, colour: Colour) -> None:
        """Add a polygon."""
        corners = np.asarray(outline, dtype=np.float64)
        self.places.extend((corners if _area(corners) >= 0 else corners[::-1]).ravel().tolist())
        self.sizes.append(len(corners))
        self.colours.append(colour)

    def rectangle(self, x: Point, y: Point, colour: Colour) -> None:
        """Add a rectangle given by two ranges, each from low to high."""
        self.places += (x[0], y[0], x[1], y[0], x[1], y[1], x[0], y[1])
        self.sizes.append(4)
        self.colours.append(colour)

    def add(self, other: "Drawing") -> None:
        """Add all polygons of another drawing."""
        self.places += other.places
        self.sizes += other.sizes
        self.colours += other.colours


@dataclass
class Panel(Drawing):
    """A surface in space that is painted in its own two coordinates.

    Attributes:
        to_space: Map its coordinates [N, 2] to points in space [N, 3].
        light: Return its brightness at the centres [N, 2] of its polygons, float [N].
        facing: The sign of the signed area that its polygons have in the picture when seen from
            outside; 0 where the panel is known to be seen.
        words: Stencils, their corners and colours, painted over the polygons.
    """

    to_space: Mapping = field(kw_only=True)
    light: Mapping = field(kw_only=True)
    facing: int = field(default=0, kw_only=True)
    words: list[tuple[Picture, Floats, Colour]] = field(default_factory=list)

    def letter(self, stencil: Picture, corners: Sequence[Point], colour: Colour) -> None:
        """Spray a stencil; the corners are its top left, top right, bottom right, bottom left."""
        self.words.append((stencil, np.asarray(corners, dtype=np.float64), colour))

    def draw(self, picture: Picture, view: View) -> None:
        """Render everything added so far into the picture."""
        if self.sizes:
            self._draw_outlines(picture, view)
        for stencil, corners, colour in self.words:
            pixels = view.project(self.to_space(corners))
            if self.facing == 0 or _area(pixels) > 0:  # else it is seen from behind
                spray(picture, stencil, pixels, colour)

    def _draw_outlines(self, picture: Picture, view: View) -> None:
        places = np.array(self.places).reshape(-1, 2)
        sizes = np.array(self.sizes)
        stops = np.cumsum(sizes)
        starts = stops - sizes
        centres = np.add.reduceat(places, starts) / sizes[:, None]
        pixels = view.project(self.to_space(places))
        paint = np.minimum(np.array(self.colours) * self.light(centres)[:, None], 255)
        fixed = to_fixed(pixels, picture.shape[0])
        seen = self._seen(pixels, starts, stops) if self.facing else repeat(1)
        rows = zip(starts.tolist(), stops.tolist(), paint.tolist(), strict=True)
        for start, stop, colour in compress(rows, seen):
            cv2.fillPoly(picture, [fixed[start:stop]], colour, cv2.LINE_AA, SUBPIXEL)

    def _seen(
        self, pixels: Floats, starts: NDArray[np.int_], stops: NDArray[np.int_]
    ) -> list[bool]:
        after = np.arange(1, len(pixels) + 1)
        after[stops - 1] = starts
        x, y = pixels[:, 0], pixels[:, 1]
        cross = x * y[after] - x[after] * y
        return list((np.add.reduceat(cross, starts) * self.facing > 0).tolist())


def flat(points: Floats) -> Floats:
    """Return an even light for polygons at [N, 2]: ones, float [N]."""
    return np.ones(len(points))


def to_fixed(pixels: Floats, size: int) -> NDArray[np.int32]:
    """Convert pixels to OpenCV's fixed-point numbers, within the range that it can draw."""
    limit = FAR_OUT * size
    kept = np.minimum(np.maximum(pixels, -limit), limit)  # np.clip's wrapper costs three times this
    kept *= 1 << SUBPIXEL
    kept += 0.5
    return kept.astype(np.int32)


def polygon(picture: Picture, pixels: Floats, colour: Colour) -> None:
    """Fill a polygon [N, 2] with anti-aliased edges."""
    fill_fixed(picture, to_fixed(pixels, picture.shape[0]), colour)


def fill_fixed(picture: Picture, points: NDArray[np.int32], colour: Sequence[float]) -> None:
    """Fill a polygon given in fixed-point numbers [N, 2]."""
    cv2.fillPoly(picture, [points], colour, cv2.LINE_AA, SUBPIXEL)


def spray(picture: Picture, stencil: Picture, corners: Floats, colour: Colour) -> None:
    """Colour the picture through a stencil, uint8 [H, W], warped to the corners [4, 2]."""
    box = _box_within(corners, picture.shape[0])
    if box is None:
        return
    left, top, right, bottom = box
    mask = warp(stencil, corners - (left, top), (right - left, bottom - top))
    blend(picture[top:bottom, left:right], mask, colour)


def paste(picture: Picture, texture: Picture, corners: Floats) -> None:
    """Warp an opaque texture, uint8 [H, W, 3], to the corners [4, 2]."""
    box = _box_within(corners, picture.shape[0])
    if box is None:
        return
    left, top, right, bottom = box
    cv2.warpPerspective(
        texture,
        _stretch(texture, corners - (left, top)),
        (right - left, bottom - top),
        dst=picture[top:bottom, left:right],
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_TRANSPARENT,
    )


def _stretch(texture: Picture, corners: Floats) -> Floats:
    """Return the homography [3, 3] that warps a texture to the corners [4, 2]."""
    height, width = texture.shape[:2]
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    return np.asarray(cv2.getPerspectiveTransform(source, corners.astype(np.float32)))


def warp(texture: Picture, corners: Floats, size: tuple[int, int]) -> Picture:
    """Return the texture warped to the corners [4, 2], in a picture of size (width, height)."""
    return np.asarray(
        cv2.warpPerspective(texture, _stretch(texture, corners), size, flags=cv2.INTER_LINEAR),
        dtype=np.uint8,
    )


def blend(part: Picture, mask: Picture, colour: Colour) -> None:
    """Blend a colour into part of a picture, in place, by a mask, uint8 [H, W]."""
    share = cv2.cvtColor(mask, cv2.COLOR_GRAY2RGB)
    paint = tinted(mask, [(channel / 255, 0.0) for channel in colour])
    cv2.add(cv2.multiply(part, cv2.bitwise_not(share), scale=1 / 255), paint, dst=part)


def tinted(levels: Picture, channels: Sequence[Point]) -> Picture:
    """Colour a grey picture [H, W] as [H, W, 3].

    Args:
        levels: uint8 [H, W].
        channels: For red, green and blue: the scale of a level, and the offset.
    """
    planes = [cv2.convertScaleAbs(levels, alpha=scale, beta=shift) for scale, shift in channels]
    return np.asarray(cv2.merge(planes), np.uint8)


def lay(part: Picture, sprite: Picture) -> None:
    """Composite a sprite, premultiplied RGBA uint8 [H, W, 4], over part of a picture, in place."""
    left = cv2.cvtColor(cv2.bitwise_not(sprite[..., 3]), cv2.COLOR_GRAY2RGB)
    colour = cv2.cvtColor(sprite, cv2.COLOR_RGBA2RGB)
    cv2.add(cv2.multiply(part, left, scale=1 / 255), colour, dst=part)


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
    """Return a bright core in a wide faint halo, 0 to 1."""
    axis = np.linspace(-1, 1, 96, dtype=np.float32)
    distance = np.hypot(axis[:, None], axis[None])
    halo = np.clip(1 - distance, 0, 1) ** 2
    return np.asarray(0.55 * halo + 0.45 * np.exp(-((distance * 6) ** 2)), np.float32)


@lru_cache(maxsize=256)
def stencil(word: str) -> Picture:
    """Return a word as a mask, uint8 [H, W], cropped to its letters."""
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
    """Return twice the signed area of a polygon; plain Python is fastest for four corners."""
    total, (before_x, before_y) = 0.0, points[-1].tolist()
    for x, y in points.tolist():
        total += before_x * y - before_y * x
        before_x, before_y = x, y
    return total
