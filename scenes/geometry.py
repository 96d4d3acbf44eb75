"""Geometry: the pinhole view of a scene and the curved surfaces of a vehicle's hull.

Space is in metres: x points to the vehicle's front, y to its left, z up; the origin is on the
ground below the vehicle's middle. Pictures are in pixels, x to the right and y down.
"""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Point = tuple[float, float]

NEAREST = 0.4  # metres; nearer points are moved back to this distance


@dataclass(frozen=True)
class View:
    """A pinhole camera.

    Attributes:
        position: The lens's point in space, float64 [3].
        axes: Its right, down and forward directions as rows, float64 [3, 3].
        focal: Focal length in pixels.
        centre: The picture's point on the optical axis, pixels.
    """

    position: Floats
    axes: Floats
    focal: float
    centre: Point

    def project(self, points: Floats) -> Floats:
        """Project points in space [N, 3] to pixels [N, 2]."""
        matrix, offset = self._lens
        seen: Floats = points @ matrix
        seen += offset
        return np.asarray(seen[:, :2] / np.maximum(seen[:, 2:], NEAREST))

    @cached_property
    def _lens(self) -> tuple[Floats, Floats]:
        """Matrix [3, 3] and offset [3] from space to (column * depth, row * depth, depth)."""
        lens = np.array(
            [[self.focal, 0, self.centre[0]], [0, self.focal, self.centre[1]], [0, 0, 1]]
        )
        matrix = (lens @ self.axes).T
        return matrix, -self.position @ matrix

    def depth(self, point: Floats) -> float:
        """Return the distance of a point [3] along the optical axis, metres."""
        return float(self.axes[2] @ (point - self.position))

    def pixels_per_metre(self, point: Floats) -> float:
        """Return the scale of the picture at a point in space [3]."""
        return self.focal / max(self.depth(point), NEAREST)

    @property
    def ground(self) -> Floats:
        """Return the homography [3, 3] from the ground's (x, y, 1) to pixels."""
        matrix, offset = self._lens
        return np.vstack([matrix[:2], offset]).T

    def placed(self, offset: Floats, heading: float, stretch: Floats) -> "View":
        """Return this view in the frame of an object scaled, turned and moved.

        Args:
            offset: The object's origin in this frame, metres [3].
            heading: Direction of its x axis, radians.
            stretch: Scale along its own axes [3].
        """
        cos, sin = np.cos(heading), np.sin(heading)
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        position = (turn.T @ (self.position - offset)) / stretch
        return View(position, self.axes @ turn * stretch, self.focal, self.centre)

    def horizon(self) -> float:
        """Return the row of the horizon at the middle column, pixels."""
        ahead = self.axes[2] * (1.0, 1.0, 0.0)
        return float(self.project((self.position + ahead * 1e4)[None])[0, 1])


def look_at(position: Floats, target: Floats, roll: float) -> Floats:
    """Return the axes of a lens at `position` that looks at `target`, turned by `roll` radians."""
    forward = (target - position) / np.linalg.norm(target - position)
    x, y, z = forward.tolist()
    level = float(np.hypot(x, y))
    right = np.array([y / level, -x / level, 0.0])
    down = np.array([x * z / level, y * z / level, -level])
    turn = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    return np.vstack([turn @ np.vstack([right, down]), forward])


@dataclass(frozen=True, eq=False)
class Hull:
    """A sheet-metal body: a side contour extruded to a width, compared by identity.

    Positions along the contour are given by `t`: t = 3.5 is midway between its points 3 and 4.

    Attributes:
        contour: (x, z) from the rear bottom over the roof to the front bottom, metres.
        width: Overall width, metres.
        rear: The stretch of the contour that is the rear face, (t, t).
        front: The stretch that is the front face, (t, t).
        zone: Heights (low, high) of a livery's 0 and 1, metres.
        glass: Stretches of the contour that are windscreens.
        windows: Outlines of the side windows, (x, z).
        seams: Positions x of the gaps between doors.
        belt: Height above which the sides lean inwards, metres.
        lean: Share of the half width lost at the roof.
        corner: Length over which the width tapers at both ends, metres.
        bevel: Radius of the contour's corners, metres.
        paint: Which colour it has: the livery's ("body"), the load's ("box") or a frame's ("dark").
        bed: A stretch of the contour that is an open loading area, if any.
        ends: Whether the front face has lamps, grille and plate, and the rear face lamps and plate.
    """

    contour: tuple[Point, ...]
    width: float
    rear: Point
    front: Point
    zone: Point
    glass: tuple[Point, ...] = ()
    windows: tuple[tuple[Point, ...], ...] = ()
    seams: tuple[float, ...] = ()
    belt: float = 9.0
    lean: float = 0.0
    corner: float = 0.0
    bevel: float = 0.14
    paint: str = "body"
    bed: Point | None = None
    ends: tuple[bool, bool] = (True, True)

    @cached_property
    def curve(self) -> tuple[Floats, Floats]:
        """Return the contour with rounded corners: positions t [N] and points (x, z) [N, 2]."""
        points = np.asarray(self.contour, dtype=np.float64)
        steps, places = [0.0], [points[0]]
        for i in range(1, len(points) - 1):
            arc_t, arc = _rounded(points[i - 1 : i + 2], self.bevel)
            steps.extend(arc_t + i)
            places.extend(arc)
        return np.array([*steps, len(points) - 1.0]), np.vstack([*places, points[-1]])

    @cached_property
    def strips(self) -> tuple[Floats, Floats]:
        """Return the centres [N - 1, 3] of the curve's segments, and their normals, in space."""
        points = self.curve[1]
        middles, along = (points[:-1] + points[1:]) / 2, np.diff(points, axis=0)
        normals = np.column_stack([-along[:, 1], np.zeros(len(along)), along[:, 0]])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
        return np.column_stack([middles[:, 0], np.zeros(len(along)), middles[:, 1]]), normals

    @cached_property
    def span(self) -> Point:
        """Return the rearmost and foremost x, metres."""
        x = self.curve[1][:, 0]
        return float(x.min()), float(x.max())

    @cached_property
    def height(self) -> float:
        """Return the highest z, metres."""
        return float(self.curve[1][:, 1].max())

    def half_width(self, x: Floats, z: Floats) -> Floats:
        """Return half the width at points (x, z) of the side, metres."""
        rise = _share((z - self.belt) / max(self.height - self.belt, 0.1))
        half = self.width / 2 * (1 - self.lean * rise)
        if not self.corner:
            return np.asarray(half)
        middle, reach = sum(self.span) / 2, (self.span[1] - self.span[0]) / 2
        edge = _share((np.abs(x - middle) - (reach - self.corner)) / self.corner)
        return np.asarray(half * (1 - 0.16 * edge * edge))

    def side(self, places: Floats, sign: float) -> Floats:
        """Map points (x, z) [N, 2] on the left (sign 1) or right (-1) side to space."""
        x, z = places[:, 0], places[:, 1]
        return _columns(x, sign * self.half_width(x, z), z)

    def over(self, places: Floats) -> Floats:
        """Map points (t, f) [N, 2] along the contour and across it (f: -1 to 1, left) to space."""
        steps, curve = self.curve
        x = np.interp(places[:, 0], steps, curve[:, 0])
        z = np.interp(places[:, 0], steps, curve[:, 1])
        return _columns(x, places[:, 1] * self.half_width(x, z), z)

    def extent(self, z: float) -> Point:
        """Return where the side begins and ends at height z, metres, rounded to centimetres."""
        return _extent(self, min(max(int(z * 100), 0), int(self.height * 100)) / 100)


def _share(values: Floats) -> Floats:
    """Clip values to 0 to 1."""
    return np.minimum(np.maximum(values, 0.0), 1.0)


def _columns(x: Floats, y: Floats, z: Floats) -> Floats:
    """Stack three coordinates [N] to points in space [N, 3]."""
    points = np.empty((len(x), 3))
    points[:, 0], points[:, 1], points[:, 2] = x, y, z
    return points


@cache
def _extent(hull: Hull, z: float) -> Point:
    points = hull.curve[1]
    start, end = points[:-1], points[1:]
    low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    crossed = (low <= z) & (z <= high) & (high > low)
    if not crossed.any():
        return hull.span
    part = (z - start[crossed, 1]) / (end[crossed, 1] - start[crossed, 1])
    x = start[crossed, 0] + part * (end[crossed, 0] - start[crossed, 0])
    return float(x.min()), float(x.max())


def _rounded(corner: Floats, radius: float) -> tuple[Floats, Floats]:
    """Round a corner given by three points [3, 2]: steps about its position t, and points."""
    before, tip, after = corner
    cut = [min(radius / max(float(np.linalg.norm(p - tip)), 1e-6), 0.45) for p in (before, after)]
    first, last = tip + (before - tip) * cut[0], tip + (after - tip) * cut[1]
    u = np.linspace(0, 1, 4)[:, None]
    arc = (1 - u) ** 2 * first + 2 * u * (1 - u) * tip + u**2 * last
    return np.linspace(-cut[0], cut[1], 4), arc
