"""Wheels: tyre, rim, hub and the gaps between the spokes."""

import cv2
import numpy as np

from pipeline.dataset.synthetic.canvas import Picture, polygon
from pipeline.dataset.synthetic.colours import RUBBER, Colour, shaded
from pipeline.dataset.synthetic.geometry import Floats, View

CIRCLE = np.column_stack(
    [
        np.cos(np.linspace(0, 2 * np.pi, 24, endpoint=False)),
        np.sin(np.linspace(0, 2 * np.pi, 24, endpoint=False)),
    ]
)
CIRCLE_IN_SPACE = np.column_stack([CIRCLE[:, 0], 0 * CIRCLE[:, 0], CIRCLE[:, 1]])


def _spoke(k: int) -> Floats:
    """The gap between two of five spokes of a wheel of radius 1, float [4, 3]."""
    angles = 2 * np.pi * (k + np.array([0.25, 0.2, 0.8, 0.75])) / 5
    radii = np.array([0.24, 0.58, 0.58, 0.24])
    return np.column_stack([radii * np.cos(angles), 0 * radii, radii * np.sin(angles)])


# a wheel of radius 1: the edge of its tyre, rim and hub, then the gaps between the spokes
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
    inside = CIRCLE_IN_SPACE * radius + (x, y - depth, radius)
    pixels = view.project(np.vstack([WHEEL * radius + (x, y, radius), inside]))
    count = len(CIRCLE)
    tyre = pixels[:count]
    both = cv2.convexHull(np.vstack([tyre, pixels[-count:]]).astype(np.float32))[:, 0]
    polygon(picture, both.astype(np.float64), shaded(RUBBER, 0.7))
    polygon(picture, tyre, RUBBER)
    if y * view.position[1] < 0:
        return
    polygon(picture, pixels[count : 2 * count], rim)
    for gap in pixels[3 * count : -count].reshape(5, 4, 2):
        polygon(picture, gap, shaded(rim, 0.38))
    polygon(picture, pixels[2 * count : 3 * count], shaded(rim, 0.8))
