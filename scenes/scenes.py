"""Scenes: kinds of places to photograph vehicles in, and one such place.

A scene is independent of the label: both classes are photographed in the same places.
"""

from dataclasses import dataclass, field

import numpy as np

from scenes.colours import Colour
from scenes.geometry import Point
from scenes.randomness import weighted

DAY = ("clear", "cloudy", "cloudy", "overcast", "white", "storm")


@dataclass(frozen=True)
class Scene:
    """A kind of place.

    Attributes:
        weight: Relative frequency.
        grounds: Possible grounds, names of `textures.GROUNDS`.
        backdrop: The background: "streets", "sheds" or "interiors" of `Assets`, or "open" land.
        skies: Names of `textures.SKIES`.
        markings: "lane", "bays" or "none".
        trees: Mean number of trees in the background.
        parked: Mean number of other vehicles in the background.
        exposure: Brightness of the whole picture, a range.
        tint: White balance: red, green and blue of white, as shares.
        weather: "", "fog", "rain" or "snow".
        direct: The sun's share of the light, a range.
        pavement: Whether a kerb and a pavement run along the backdrop.
    """

    weight: float
    grounds: tuple[str, ...]
    backdrop: str
    skies: tuple[str, ...] = DAY
    markings: str = "none"
    trees: float = 0.0
    parked: float = 0.0
    exposure: Point = (0.9, 1.2)
    tint: Colour = (1.0, 1.0, 1.0)
    weather: str = ""
    direct: Point = (0.1, 0.5)
    pavement: bool = False


SCENES: tuple[Scene, ...] = (
    Scene(
        16,
        ("asphalt", "worn asphalt"),
        "streets",
        markings="lane",
        trees=0.5,
        parked=0.18,
        pavement=True,
    ),
    Scene(8, ("concrete", "worn asphalt", "gravel"), "streets", trees=0.7, parked=0.18),
    Scene(
        14, ("asphalt", "worn asphalt", "concrete"), "open", markings="bays", trees=4, parked=0.6
    ),
    Scene(
        10, ("asphalt", "concrete", "worn asphalt"), "sheds", markings="bays", trees=0.4, parked=0.3
    ),
    Scene(8, ("asphalt", "worn asphalt"), "open", markings="lane", trees=4.5, parked=0.12),
    Scene(10, ("grass", "gravel", "dry grass"), "open", trees=5, parked=0.18),
    Scene(
        7,
        ("workshop", "concrete"),
        "interiors",
        parked=0.18,
        tint=(1.05, 1.0, 0.9),
        direct=(0.0, 0.15),
        exposure=(0.7, 1.05),
    ),
    Scene(
        6,
        ("asphalt", "wet asphalt"),
        "streets",
        ("night",),
        "lane",
        trees=0.3,
        parked=0.18,
        exposure=(0.5, 0.7),
        tint=(1.08, 0.98, 0.92),
        direct=(0.0, 0.2),
        pavement=True,
    ),
    Scene(
        5,
        ("asphalt", "dry grass", "gravel"),
        "open",
        ("sunset",),
        "lane",
        trees=4,
        parked=0.12,
        exposure=(0.6, 0.9),
        tint=(1.14, 0.98, 0.84),
        direct=(0.2, 0.6),
    ),
    Scene(
        5,
        ("snow",),
        "open",
        ("overcast", "white"),
        trees=5,
        parked=0.18,
        weather="snow",
        direct=(0.0, 0.15),
    ),
    Scene(
        5,
        ("wet asphalt",),
        "streets",
        ("storm", "overcast"),
        "lane",
        trees=1,
        parked=0.24,
        weather="rain",
        exposure=(0.62, 0.9),
        tint=(0.94, 0.99, 1.06),
        direct=(0.0, 0.1),
        pavement=True,
    ),
    Scene(
        4,
        ("asphalt", "grass"),
        "open",
        ("white", "overcast"),
        "lane",
        trees=4,
        parked=0.12,
        weather="fog",
        direct=(0.0, 0.1),
    ),
)


WEIGHTS = tuple(scene.weight for scene in SCENES)


@dataclass(frozen=True)
class Setting:
    """One place with all its random choices made.

    Attributes:
        scene: The kind of place.
        ground: The name of the ground.
        sky: The name of the sky.
        heading: The direction of the road and the backdrop in the vehicle's frame, radians.
        distance: From the vehicle to the backdrop, metres.
        axes: Unit vectors (x, y) from the backdrop to the camera's side, and along it.
    """

    scene: Scene
    ground: str
    sky: str
    heading: float
    distance: float
    axes: tuple[Point, Point] = field(repr=False)


def choose_setting(rng: np.random.Generator, yaw: float) -> Setting:
    """Draw a place for a picture taken from the direction `yaw`, radians."""
    scene = weighted(rng, SCENES, WEIGHTS)
    quarter = round(yaw / (np.pi / 2)) * (np.pi / 2)  # the backdrop roughly faces the camera
    facing = yaw + (quarter - yaw) * float(rng.uniform(0.2, 0.75))
    cos, sin = float(np.cos(facing)), float(np.sin(facing))
    return Setting(
        scene=scene,
        ground=scene.grounds[int(rng.integers(len(scene.grounds)))],
        sky=scene.skies[int(rng.integers(len(scene.skies)))],
        heading=quarter,
        distance=float(rng.uniform(4.0, 13.0)),
        axes=((cos, sin), (-sin, cos)),
    )
