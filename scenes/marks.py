"""Marks that make up liveries: bands, chequers, shapes, words and emblems on a side.

Heights are shares of the hull's livery zone, 0 at its low and 1 at its high end; positions along
the vehicle are shares of its length there, 0 at the rear and 1 at the front.
"""

from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np

from scenes.canvas import Drawing, Panel, stencil
from scenes.colours import Colour
from scenes.geometry import Hull, Point


class Mark(Protocol):
    """Something painted on the side of a hull."""

    def paint(self, panel: Panel, hull: Hull, sign: float, rng: np.random.Generator) -> None:
        """Paint it on the left (sign 1) or right (-1) side."""


class Fixed:
    """A mark that is the same on every hull of a kind, and on both sides."""

    def drawing(self, hull: Hull) -> Drawing:
        """Return its polygons."""
        raise NotImplementedError

    def paint(self, panel: Panel, hull: Hull, sign: float, rng: np.random.Generator) -> None:  # noqa: ARG002
        """Paint it; the polygons are cached for each hull."""
        panel.add(_cached_drawing(self, hull))


@cache
def _cached_drawing(mark: Fixed, hull: Hull) -> Drawing:
    return mark.drawing(hull)


def height(hull: Hull, share: float) -> float:
    """Return the height of a share of the livery zone, metres."""
    low, high = hull.zone
    return low + share * (high - low)


def place(hull: Hull, along: float, share: float) -> Point:
    """Return the (x, z) of a point on the side."""
    z = height(hull, share)
    start, stop = hull.extent(z)
    return start + along * (stop - start), z


@dataclass(frozen=True)
class Band(Fixed):
    """A horizontal stripe along the side."""

    low: float
    high: float
    colour: Colour
    start: float = 0.0
    stop: float = 1.0

    def drawing(self, hull: Hull) -> Drawing:
        """Return one polygon from end to end."""
        drawing = Drawing()
        drawing.fill(
            [
                place(hull, self.start, self.low),
                place(hull, self.stop, self.low),
                place(hull, self.stop, (self.low + self.high) / 2),
                place(hull, self.stop, self.high),
                place(hull, self.start, self.high),
                place(hull, self.start, (self.low + self.high) / 2),
            ],
            self.colour,
        )
        return drawing


@dataclass(frozen=True)
class Chequer(Fixed):
    """Rows of alternating fields: Battenberg with one or two rows, a taxi's with small ones."""

    low: float
    high: float
    rows: int
    first: Colour
    second: Colour
    aspect: float = 1.3

    def drawing(self, hull: Hull) -> Drawing:
        """Return a band of the first colour, and every other field in the second."""
        drawing = Band(self.low, self.high, self.first).drawing(hull)
        step = (self.high - self.low) / self.rows
        start, stop = hull.span
        long = step * (hull.zone[1] - hull.zone[0]) * self.aspect
        count = max(int(np.ceil((stop - start) / long)), 2)
        for row in range(self.rows):
            low = self.low + row * step
            for cell in range(row % 2, count, 2):
                ends = cell / count, (cell + 1) / count
                drawing.add(Band(low, low + step, self.second, *ends).drawing(hull))
        return drawing


@dataclass(frozen=True)
class Shape(Fixed):
    """A polygon of points (along, height)."""

    outline: tuple[Point, ...]
    colour: Colour

    def drawing(self, hull: Hull) -> Drawing:
        """Return the polygon."""
        drawing = Drawing()
        drawing.fill([place(hull, *point) for point in self.outline], self.colour)
        return drawing


@dataclass(frozen=True)
class Doors(Fixed):
    """Doors in another colour than the body."""

    colour: Colour

    def drawing(self, hull: Hull) -> Drawing:
        """Return the area between the first and the last seam."""
        drawing = Drawing()
        if len(hull.seams) > 1:
            drawing.rectangle((hull.seams[-1], hull.seams[0]), hull.zone, self.colour)
        return drawing


@dataclass(frozen=True)
class Word:
    """One of several words, readable from that side."""

    words: tuple[str, ...]
    along: float
    low: float
    high: float
    colour: Colour

    def paint(self, panel: Panel, hull: Hull, sign: float, rng: np.random.Generator) -> None:
        """Draw one of the words at random and letter it."""
        mask = stencil(self.words[int(rng.integers(len(self.words)))])
        x, bottom = place(hull, self.along, self.low)
        top = height(hull, self.high)
        half = min((top - bottom) * mask.shape[1] / mask.shape[0], 0.72 * _length(hull)) / 2
        left, right = (x + half, x - half) if sign > 0 else (x - half, x + half)
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        panel.letter(mask, corners, self.colour)


@dataclass(frozen=True)
class Emblem(Fixed):
    """A sign made of polygons about a point; `EMBLEMS` holds them, within -1 to 1."""

    kind: str
    along: float
    share: float
    size: float
    colour: Colour

    def drawing(self, hull: Hull) -> Drawing:
        """Return its polygons."""
        drawing = Drawing()
        centre = np.array(place(hull, self.along, self.share))
        radius = self.size * (hull.zone[1] - hull.zone[0]) / 2
        for outline in EMBLEMS[self.kind]:
            drawing.fill(centre + radius * np.array(outline), self.colour)
        return drawing


def _length(hull: Hull) -> float:
    return hull.span[1] - hull.span[0]


def _bar(angle: float) -> tuple[Point, ...]:
    """Return a bar through the centre, turned by an angle in degrees."""
    turn = np.deg2rad(angle)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    corners = np.array([(-1, -0.27), (1, -0.27), (1, 0.27), (-1, 0.27)]) @ matrix.T
    return tuple((float(x), float(y)) for x, y in corners)


def _rays(count: int, inner: float) -> tuple[Point, ...]:
    angles = np.arange(2 * count) * np.pi / count + np.pi / 2
    radii = np.where(np.arange(2 * count) % 2 == 0, 1.0, inner)
    points = np.column_stack([radii * np.cos(angles), radii * np.sin(angles)])
    return tuple((float(x), float(y)) for x, y in points)


EMBLEMS: dict[str, tuple[tuple[Point, ...], ...]] = {
    "cross": (_bar(0), _bar(90)),
    "star of life": (_bar(30), _bar(90), _bar(150)),
    "star": (_rays(5, 0.42),),
    "badge": (_rays(7, 0.72),),
    "shield": (((-0.8, 1), (0.8, 1), (0.8, -0.1), (0.0, -1), (-0.8, -0.1)),),
    "disc": (_rays(12, 0.99),),
}
