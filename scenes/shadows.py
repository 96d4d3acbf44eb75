"""Shadows of vehicles on the ground."""

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.canvas import SUBPIXEL, Picture, to_fixed
from scenes.geometry import View
from scenes.vehicles import Light, Vehicle, bounds

SHADOW_SCALE = 4  # shadows are soft, so they are painted in a mask smaller by this factor


def shadow(size: int, view: View, vehicle: Vehicle, light: Light) -> Picture:
    """Return the vehicle's shadow as a mask, uint8 [size, size], 255 where it is darkest."""
    low, high = bounds(vehicle)
    corners = np.array([(x, y, 0.0) for x in (low[0], high[0]) for y in (low[1], high[1])])
    reach = light.sun[:2] / max(float(light.sun[2]), 0.35) * high[2] * 0.75
    cast = corners * (0.8, 0.8, 1) - (*reach, 0.0)
    pixels = (view.project(np.vstack([corners, cast])) / SHADOW_SCALE).astype(np.float32)
    mask = np.zeros((size // SHADOW_SCALE, size // SHADOW_SCALE), np.uint8)
    if light.direct > 0.2:
        _fill_hull(mask, pixels, 120)
    _fill_hull(mask, pixels[:4], 235)
    soft = max(round(size / 75), 1)
    mask = np.asarray(cv2.blur(cv2.blur(mask, (soft, soft)), (soft, soft)), dtype=np.uint8)
    return np.asarray(cv2.resize(mask, (size, size)), dtype=np.uint8)


def _fill_hull(mask: Picture, pixels: NDArray[np.float32], value: float) -> None:
    outline = cv2.convexHull(pixels)[:, 0]
    points = to_fixed(outline.astype(np.float64), mask.shape[0])
    cv2.fillPoly(mask, [points], (value,), cv2.LINE_AA, SUBPIXEL)


def shade(picture: Picture, mask: Picture, depth: float) -> None:
    """Darken a picture in place where a mask is bright."""
    x, y, width, height = cv2.boundingRect(mask)
    if not width:
        return
    part = picture[y : y + height, x : x + width]
    left = cv2.convertScaleAbs(mask[y : y + height, x : x + width], alpha=-depth, beta=255)
    cv2.multiply(part, cv2.cvtColor(left, cv2.COLOR_GRAY2RGB), dst=part, scale=1 / 255)
