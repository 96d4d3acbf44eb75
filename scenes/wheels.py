"""Wheels: tyre, rim, hub and the gaps between the spokes."""

import cv2
import numpy as np

from scenes.canvas import SUBPIXEL, Picture, fill_fixed, to_fixed
from scenes.colours import RUBBER, Colour, shaded
from scenes.geometry import Floats, View

COUNT = 24  # corners of a circle
CIRCLE = np.column_stack(
    [
        np.cos(np.linspace(0, 2 * np.pi, COUNT, endpoint=False)),
        np.sin(np.linspace(0, 2 * np.pi, COUNT, endpoint=False)),
    ]
)
CIRCLE_IN_SPACE = np.column_stack([CIRCLE[:, 0], 0 * CIRCLE[:, 0], CIRCLE[:, 1]])


def _spoke(k: int) -> Floats:
    """Return the gap between two of five spokes of a wheel of radius 1, float [4, 3]."""
    angles = 2 * np.pi * (k + np.array([0.25, 0.2, 0.8, 0.75])) / 5
    radii = np.array([0.24, 0.58, 0.58, 0.24])
    return np.column_stack([radii * np.cos(angles), 0 * radii, radii * np.sin(angles)])


# A wheel of radius 1: the outlines of its tyre, rim and hub, then the gaps between the spokes
WHEEL = np.vstack(
    [CIRCLE_IN_SPACE * share for share in (1.0, 0.66, 0.14)] + [_spoke(k) for k in range(5)]
)


def draw_wheel(
    picture: Picture, view: View, centre: tuple[float, float, float], depth: float, rim: Colour
) -> None:
    """Paint a wheel.

    Args:
        picture: uint8 [S, S, 3], painted in place.
        view: The view in the vehicle's frame.
        centre: (x, y, radius): y is its outer face's; it stands on the ground.
        depth: From its outer to its inner face, along y.
        rim: Colour of its rim; seen on the camera's side only.
    """
    x, y, radius = centre
    outside = WHEEL * radius + (x, y, radius)
    inside = outside[:COUNT] - (0, depth, 0)
    pixels = to_fixed(view.project(np.concatenate([outside, inside])), picture.shape[0])
    tyre = pixels[:COUNT]
    both = cv2.convexHull(np.concatenate([tyre, pixels[-COUNT:]]))
    fill_fixed(picture, np.asarray(both, np.int32), shaded(RUBBER, 0.7))
    fill_fixed(picture, tyre, RUBBER)
    if y * view.position[1] < 0:
        return
    fill_fixed(picture, pixels[COUNT : 2 * COUNT], rim)
    gaps = list(pixels[3 * COUNT : -COUNT].reshape(5, 4, 2))
    cv2.fillPoly(picture, gaps, shaded(rim, 0.38), cv2.LINE_AA, SUBPIXEL)
    fill_fixed(picture, pixels[2 * COUNT : 3 * COUNT], shaded(rim, 0.8))
