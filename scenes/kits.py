"""Roof equipment: light bars, beacons, signs, racks and ladders."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scenes.bodies import Body
from scenes.canvas import Picture, fill_fixed, to_fixed
from scenes.colours import (
    AMBER,
    LAMP_BLUE,
    LAMP_RED,
    PLASTIC,
    SILVER,
    WHITE,
    YELLOW,
    Colour,
    mixed,
    shaded,
)
from scenes.geometry import Floats, View

Lighting = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Glow:
    """A lamp that is on: place in the vehicle's frame, reach in metres, colour."""

    place: Floats
    reach: float
    colour: Colour


@dataclass(frozen=True)
class Kit:
    """Boxes on a roof.

    Attributes:
        parts: (x, y, z, length, width, height, colour) of each box: its centre relative to the
            place on the roof and its size; y and width are shares of the roof's width.
        lamps: Indices of the parts that can be lit.
    """

    parts: tuple[tuple[float, float, float, float, float, float, Colour], ...] = ()
    lamps: tuple[int, ...] = ()


def _bar(right: Colour, left: Colour, *, lit: bool) -> Kit:
    """Return a light bar across the roof with halves of two colours."""
    dull = 0.0 if lit else 0.25
    return Kit(
        parts=(
            (0, 0, 0.02, 0.24, 0.66, 0.05, PLASTIC),
            (0, -0.24, 0.10, 0.27, 0.24, 0.11, mixed(right, PLASTIC, dull)),
            (0, 0, 0.10, 0.25, 0.22, 0.09, SILVER),
            (0, 0.24, 0.10, 0.27, 0.24, 0.11, mixed(left, PLASTIC, dull)),
        ),
        lamps=(1, 3) if lit else (),
    )


KITS: dict[str, Kit] = {
    "none": Kit(),
    "bar": _bar(LAMP_BLUE, LAMP_RED, lit=False),
    "lit bar": _bar(LAMP_BLUE, LAMP_RED, lit=True),
    "blue bar": _bar(LAMP_BLUE, LAMP_BLUE, lit=False),
    "lit blue bar": _bar(LAMP_BLUE, LAMP_BLUE, lit=True),
    "red bar": _bar(LAMP_RED, LAMP_RED, lit=False),
    "amber bar": _bar(AMBER, AMBER, lit=False),
    "lit amber bar": _bar(AMBER, AMBER, lit=True),
    "taxi sign": Kit(parts=((0, 0, 0.11, 0.16, 0.34, 0.2, mixed(YELLOW, WHITE, 0.5)),)),
    "rack": Kit(
        parts=(
            (0, -0.36, 0.05, 1.1, 0.04, 0.05, PLASTIC),
            (-0.4, 0, 0.07, 0.05, 0.8, 0.04, SILVER),
            (0.4, 0, 0.07, 0.05, 0.8, 0.04, SILVER),
            (0, 0.36, 0.05, 1.1, 0.04, 0.05, PLASTIC),
        )
    ),
}


def draw_kit(picture: Picture, view: View, kit: Kit, body: Body, light: Lighting) -> list[Glow]:
    """Paint a kit on a body's roof, farthest parts first; return its lamps that are on."""
    boxes = []
    for x, y, z, length, width, tall, colour in kit.parts:
        across = body.hulls[-1].width * 0.82
        centre = np.array([body.roof[0] + x, y * across, body.roof[1] + z])
        boxes.append((centre, np.array([length, width * across, tall]) / 2, colour))
    for centre, half, colour in sorted(boxes, key=lambda box: -view.depth(box[0])):
        draw_box(picture, view, centre - half, centre + half, colour, light)
    return [Glow(boxes[i][0], 0.55, boxes[i][2]) for i in kit.lamps]


def draw_box(
    picture: Picture, view: View, low: Floats, high: Floats, colour: Colour, light: Lighting
) -> None:
    """Paint the visible faces of a box given by two opposite corners [3]."""
    ends = np.array([low, high])
    pixels = to_fixed(view.project(ends[PICKS, np.arange(3)]), picture.shape[0])
    beyond = ((view.position - ends) * ((-1.0,), (1.0,)) > 0).tolist()
    brightness = light(NORMALS).tolist()
    for face, (axis, end) in enumerate(FACES):
        if beyond[end][axis]:
            fill_fixed(picture, pixels[CORNERS[face]], shaded(colour, brightness[face]))


def _corners_of(axis: int, end: int) -> list[int]:
    """Return the four corners of a face of a box, as rows of `PICKS`."""
    others = [other for other in range(3) if other != axis]
    corners = [[end] * 3 for _ in range(4)]
    for corner, ends in zip(corners, ((0, 0), (1, 0), (1, 1), (0, 1)), strict=True):
        corner[others[0]], corner[others[1]] = ends
    return [4 * x + 2 * y + z for x, y, z in corners]


PICKS = np.indices((2, 2, 2)).reshape(3, -1).T  # which end of each axis a box's corner is at
FACES = tuple((axis, end) for axis in range(3) for end in (0, 1))
CORNERS = np.array([_corners_of(axis, end) for axis, end in FACES])
NORMALS = np.array([(2 * end - 1) * np.eye(3)[axis] for axis, end in FACES])
