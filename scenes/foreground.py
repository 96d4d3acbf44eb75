"""Objects in front of or beside a vehicle: lamp posts, cones, people, branches."""

import numpy as np

from scenes.canvas import Picture, polygon
from scenes.colours import Colour, shaded
from scenes.geometry import Floats, View
from scenes.scenery import stand
from scenes.textures import Assets

CLOTHES: tuple[Colour, ...] = (
    (40, 44, 60),
    (90, 30, 34),
    (110, 110, 112),
    (30, 60, 80),
    (170, 160, 140),
    (24, 24, 26),
    (60, 80, 54),
    (210, 220, 60),
)
SKIN: tuple[Colour, ...] = ((224, 180, 150), (180, 130, 96), (110, 76, 56))
PERSON: tuple[tuple[str, tuple[tuple[float, float], ...]], ...] = (
    (
        "legs",
        ((-0.17, 0), (-0.03, 0), (0.0, 0.75), (0.03, 0), (0.17, 0), (0.19, 0.92), (-0.19, 0.92)),
    ),
    ("coat", ((-0.2, 0.85), (0.2, 0.85), (0.25, 1.42), (0.1, 1.5), (-0.1, 1.5), (-0.25, 1.42))),
    ("coat", ((-0.31, 0.85), (-0.22, 0.85), (-0.2, 1.42), (-0.27, 1.4))),
    ("coat", ((0.22, 0.85), (0.31, 0.85), (0.27, 1.4), (0.2, 1.42))),
    ("skin", ((-0.08, 1.5), (0.08, 1.5), (0.11, 1.64), (0.06, 1.76), (-0.06, 1.76), (-0.11, 1.64))),
    ("hair", ((-0.11, 1.66), (0.11, 1.66), (0.07, 1.79), (-0.07, 1.79))),
)
CONE: tuple[tuple[Colour, tuple[tuple[float, float], ...]], ...] = (
    ((60, 60, 60), ((-0.22, 0), (0.22, 0), (0.22, 0.05), (-0.22, 0.05))),
    ((236, 92, 30), ((-0.16, 0.05), (0.16, 0.05), (0.04, 0.7), (-0.04, 0.7))),
    ((240, 240, 236), ((-0.115, 0.28), (0.115, 0.28), (0.085, 0.42), (-0.085, 0.42))),
)


def paint_people(picture: Picture, view: View, feet: Floats, rng: np.random.Generator) -> None:
    """Paint people who stand on points of the ground [N, 3]."""
    for foot in feet:
        legs, coat = (CLOTHES[int(i)] for i in rng.integers(len(CLOTHES), size=2))
        skin = SKIN[int(rng.integers(len(SKIN)))]
        inks = {"legs": shaded(legs, 0.8), "coat": coat, "skin": skin, "hair": (46, 36, 30)}
        for part, outline in PERSON:
            _upright(picture, view, foot, outline, inks[part])


def paint_foreground(
    picture: Picture, view: View, reach: Floats, stock: Assets, rng: np.random.Generator
) -> None:
    """Sometimes paint an object between the camera and the vehicle.

    Args:
        picture: uint8 [S, S, 3], painted in place.
        view: The view.
        reach: Half the length and width of the vehicle, metres [2].
        stock: For the leaves of a branch.
        rng: Draws which object, and where.
    """
    towards = view.position[:2] / np.linalg.norm(view.position[:2])
    across = np.array([-towards[1], towards[0]])
    near = float(reach @ np.abs(towards)) + 0.5
    wide = float(reach @ np.abs(across))

    def spot(away: float, along: float) -> Floats:
        return np.array([*(towards * away + across * along), 0.0])

    if rng.random() < 0.09:
        foot = spot(near + rng.uniform(0.2, 1), rng.uniform(-1.1, 1.1) * wide)
        post = [(-0.06, 0), (0.06, 0), (0.05, 6), (-0.05, 6)]
        _upright(picture, view, foot, post, shaded((120, 124, 126), rng.uniform(0.4, 1.2)))
    if rng.random() < 0.10:
        for along in rng.uniform(-1.3, 1.3, int(rng.integers(1, 4))) * wide:
            for colour, outline in CONE:
                _upright(picture, view, spot(near + 0.4, along), outline, colour)
    if rng.random() < 0.10:
        side = rng.choice((-1, 1)) * rng.uniform(0.6, 1.25) * wide
        paint_people(picture, view, spot(near + rng.uniform(0, 0.6), side)[None], rng)
    if rng.random() < 0.05:
        tree = stock.trees[int(rng.integers(len(stock.trees)))]
        foot = spot(near + 0.6, rng.choice((-1, 1)) * rng.uniform(0.9, 1.4) * wide)
        stand(picture, view, foot, tree, rng.uniform(2.5, 5))


def _upright(picture: Picture, view: View, foot: Floats, outline: object, colour: Colour) -> None:
    """Paint a flat figure in metres that faces the camera."""
    points = np.asarray(outline, dtype=np.float64)
    right = view.axes[0] * (1, 1, 0)
    space = foot + points[:, :1] * right + points[:, 1:] * np.array([0, 0, 1.0])
    polygon(picture, view.project(space), colour)
