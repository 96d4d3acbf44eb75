"""Scenes: sky, ground, what stands behind the vehicle and what stands before it.

A scene knows nothing of labels: both fleets are photographed in the same places.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

from pipeline.dataset.synthetic.canvas import Picture, blend, paste, polygon
from pipeline.dataset.synthetic.colours import Colour
from pipeline.dataset.synthetic.geometry import Floats, Point, View
from pipeline.dataset.synthetic.textures import TILE, Assets, Sprite

TEXTURE_METRES = 7.0  # a ground tile's side
DAY = ("clear", "cloudy", "cloudy", "overcast", "white", "storm")


@dataclass(frozen=True)
class Scene:
    """A kind of place.

    Attributes:
        weight: How often it is met.
        grounds: What the vehicle may stand on; names of `textures.GROUNDS`.
        backdrop: What is behind: "streets", "sheds" or "interiors" of `Assets`, or "open" land.
        skies: Names of `textures.SKIES`.
        markings: "lane", "bays" or "none".
        trees: Mean number of trees behind.
        parked: Mean number of other vehicles behind.
        exposure: Brightness of the whole picture, a range.
        tint: White balance: what white becomes, as shares.
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


@dataclass(frozen=True)
class Setting:
    """One place, all its choices made.

    Attributes:
        scene: The kind of place.
        ground: The name of the ground.
        sky: The name of the sky.
        heading: The direction of the road and the backdrop in the vehicle's frame, radians.
        distance: From the vehicle to the backdrop, metres.
        axes: The directions to the camera's side of the backdrop and along it, float64 [2, 2].
    """

    scene: Scene
    ground: str
    sky: str
    heading: float
    distance: float
    axes: Floats = field(repr=False)


def choose_setting(rng: np.random.Generator, yaw: float) -> Setting:
    """A place for a picture taken from the direction `yaw`, radians."""
    weights = np.array([scene.weight for scene in SCENES])
    scene = SCENES[int(rng.choice(len(SCENES), p=weights / weights.sum()))]
    quarter = np.round(yaw / (np.pi / 2)) * (np.pi / 2)  # the backdrop faces the camera, about
    facing = yaw + (quarter - yaw) * rng.uniform(0.2, 0.75)
    axes = np.array([[np.cos(facing), np.sin(facing)], [-np.sin(facing), np.cos(facing)]])
    return Setting(
        scene=scene,
        ground=scene.grounds[int(rng.integers(len(scene.grounds)))],
        sky=scene.skies[int(rng.integers(len(scene.skies)))],
        heading=float(quarter),
        distance=float(rng.uniform(4.0, 13.0)),
        axes=axes,
    )


def point_behind(setting: Setting, away: float, along: float, z: float = 0.0) -> Floats:
    """A point so far behind the vehicle's middle and so far along the backdrop, in space [3]."""
    x, y = np.array([-away, along]) @ setting.axes
    return np.array([x, y, z])


def paint_scene(
    picture: Picture, view: View, setting: Setting, stock: Assets, rng: np.random.Generator
) -> None:
    """Paint sky, ground, backdrop, markings and trees into the whole of a picture."""
    horizon = int(np.clip(view.horizon(), 4, len(picture) - 4))
    _paint_sky(picture, stock.skies[setting.sky], horizon, rng)
    _paint_ground(picture, view, stock.grounds[setting.ground], horizon)
    if setting.scene.backdrop == "open":
        _paint_land(picture, view, horizon, rng)
    _paint_trees(picture, view, setting, stock, rng)
    if setting.scene.backdrop != "open":
        _paint_wall(picture, view, setting, stock, rng)
    if setting.scene.pavement:
        _paint_pavement(picture, view, setting)
    _paint_markings(picture, view, setting, rng)


def _paint_sky(
    picture: Picture, skies: tuple[Picture, ...], horizon: int, rng: np.random.Generator
) -> None:
    sky = skies[int(rng.integers(len(skies)))]
    left = int(rng.integers(0, 128))
    depth = min(horizon + len(picture) // 16, len(picture))
    part = cv2.resize(sky[:, left : left + 128], (len(picture), depth))
    picture[:depth] = part[:, ::-1] if rng.random() < 0.5 else part


def _paint_ground(picture: Picture, view: View, texture: Picture, horizon: int) -> None:
    """Lay the tiles at half the resolution, which costs a quarter and hides their grain."""
    size = len(picture)
    top = horizon + 1
    scale = np.diag([TEXTURE_METRES / TILE, TEXTURE_METRES / TILE, 1.0])
    half = np.array([[0.5, 0, 0], [0, 0.5, -top / 2], [0, 0, 1.0]])
    half_size = ((size + 1) // 2, (size - top + 1) // 2)
    ground = cv2.warpPerspective(
        texture,
        half @ view.ground @ scale,
        half_size,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    far = min(max(size // 20, 2), len(ground))
    haze = np.array(cv2.mean(texture)[:3])
    share = np.linspace(0.1, 1, far)[:, None, None]
    ground[:far] = (ground[:far] * share + haze * (1 - share)).astype(np.uint8)
    picture[top:] = cv2.resize(ground, (size, size - top))


def _paint_land(picture: Picture, view: View, horizon: int, rng: np.random.Generator) -> None:
    """Hills or a far line of woods and roofs."""
    size = len(picture)
    for _ in range(2):
        tall = size * rng.uniform(0.02, 0.14)
        columns = np.linspace(-4, size + 4, 24)
        waves = np.interp(columns, np.linspace(-4, size + 4, 9), rng.uniform(0.2, 1, 9))
        rough = waves + rng.uniform(-0.08, 0.08, 24)
        tilt = (columns - size / 2) * np.arctan2(view.axes[0, 2], 1.0)
        top = np.column_stack([columns, horizon - tilt - tall * rough])
        base = np.array([(size + 4, horizon + size * 0.04), (-4, horizon + size * 0.04)])
        shade = rng.uniform(0.75, 1.25)
        colour = np.array((104, 118, 112)) * shade + rng.normal(0, 9, 3)
        polygon(picture, np.vstack([top, base]), tuple(np.clip(colour, 0, 255)))


def _paint_trees(
    picture: Picture, view: View, setting: Setting, stock: Assets, rng: np.random.Generator
) -> None:
    count = min(int(rng.poisson(setting.scene.trees)), 6)
    open_land = setting.scene.backdrop == "open"
    aways = np.sort(rng.uniform(setting.distance, setting.distance + 22, count))[::-1]
    for away in aways:
        along = rng.uniform(-1, 1) * (6 + away)
        near = away if open_land else setting.distance - 1.5
        foot = point_behind(setting, near, along)
        if view.depth(foot) > 3:
            tree = stock.trees[int(rng.integers(len(stock.trees)))]
            stand(picture, view, foot, tree, rng.uniform(3.5, 9))


def stand(picture: Picture, view: View, foot: Floats, sprite: Sprite, tall: float) -> None:
    """Set a cut-out of a height in metres upright on a point of the ground [3]."""
    scale = view.pixels_per_metre(foot) * tall / len(sprite.mask)
    width, high = (round(side * scale) for side in sprite.mask.shape[::-1])
    column, row = view.project(foot[None])[0]
    left, top = round(column - width / 2), round(row - high)
    size = len(picture)
    right, bottom = min(left + width, size), min(top + high, size)
    if width < 2 or high < 2 or right <= max(left, 0) or bottom <= max(top, 0) or high > 4 * size:
        return
    cut = np.s_[max(-top, 0) : bottom - top, max(-left, 0) : right - left]
    colour = cv2.resize(sprite.colour, (width, high), interpolation=cv2.INTER_AREA)[cut]
    mask = cv2.resize(sprite.mask, (width, high), interpolation=cv2.INTER_AREA)[cut]
    part = picture[max(top, 0) : bottom, max(left, 0) : right]
    blend(part, np.asarray(mask, np.uint8), np.asarray(colour, np.uint8))


def _paint_wall(
    picture: Picture, view: View, setting: Setting, stock: Assets, rng: np.random.Generator
) -> None:
    fronts: tuple[Picture, ...] = getattr(stock, setting.scene.backdrop)
    texture = fronts[int(rng.integers(len(fronts)))]
    tall, half = rng.uniform(5.5, 11), 15.0
    shift = rng.uniform(-6, 6)
    corners = [
        point_behind(setting, setting.distance, side * half + shift, z)
        for side, z in ((1, tall), (-1, tall), (-1, 0), (1, 0))
    ]
    if min(view.depth(corner) for corner in corners) < 1.0:
        return
    pixels = view.project(np.array(corners))
    if pixels[0, 0] > pixels[1, 0]:
        pixels = pixels[[1, 0, 3, 2]]
    paste(picture, texture, pixels)


def _strip(
    picture: Picture, view: View, setting: Setting, away: Point, along: Point, colour: Colour
) -> None:
    """A rectangle on the ground."""
    corners = [
        point_behind(setting, away[i], along[j]) for i, j in ((0, 0), (0, 1), (1, 1), (1, 0))
    ]
    space = np.array(corners)
    if ((space - view.position) @ view.axes[2]).min() > 0.8:
        polygon(picture, view.project(space), colour)


def _paint_pavement(picture: Picture, view: View, setting: Setting) -> None:
    far = setting.distance
    near = max(far - 2.6, 2.2)
    if near < far:
        _strip(picture, view, setting, (near, far), (-14, 14), (162, 158, 152))
        _strip(picture, view, setting, (near - 0.16, near), (-14, 14), (118, 116, 112))


def _paint_markings(
    picture: Picture, view: View, setting: Setting, rng: np.random.Generator
) -> None:
    paint = (224, 222, 214) if rng.random() < 0.75 else (224, 184, 70)
    if setting.scene.markings == "lane":
        away = rng.uniform(-3.2, -1.6)
        for start in np.arange(-9, 9, 3.0):
            _strip(picture, view, setting, (away, away + 0.14), (start, start + 1.7), paint)
        if rng.random() < 0.5:
            _strip(picture, view, setting, (1.9, 2.05), (-12, 12), paint)
    elif setting.scene.markings == "bays":
        offset = rng.uniform(-1.3, 1.3)
        for along in np.arange(-7.8, 8, 2.6) + offset:
            _strip(picture, view, setting, (-2.5, 3.0), (along, along + 0.12), paint)
