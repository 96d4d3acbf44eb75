"""Textures and sprites that are painted once per process and reused in every picture."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.canvas import Picture
from scenes.colours import Colour, mixed, shaded
from scenes.geometry import Point
from scenes.randomness import Stream, generator

SHRUNK = (0.5, 0.25, 0.125)  # scales of the smaller versions of a sprite
TILE = 256  # pixels a side of a ground texture
TILES = 4
GROUNDS: dict[str, tuple[Colour, float]] = {  # mean colour and contrast
    "asphalt": (((112, 112, 114)), 15),
    "worn asphalt": ((142, 139, 134), 20),
    "wet asphalt": ((74, 78, 86), 18),
    "concrete": ((178, 174, 166), 13),
    "gravel": ((156, 144, 124), 30),
    "grass": ((92, 122, 54), 24),
    "dry grass": ((148, 140, 86), 26),
    "snow": ((226, 230, 236), 10),
    "workshop": ((124, 120, 116), 10),
}
SKIES: dict[str, tuple[Colour, Colour, float]] = {  # zenith, horizon, cloud cover
    "clear": ((70, 130, 205), (190, 214, 235), 0.25),
    "cloudy": ((96, 142, 200), (214, 222, 230), 0.9),
    "overcast": ((178, 184, 192), (220, 222, 224), 0.5),
    "white": ((236, 238, 240), (246, 246, 246), 0.1),
    "storm": ((92, 100, 112), (168, 172, 176), 0.8),
    "sunset": ((88, 96, 150), (250, 170, 104), 0.8),
    "night": ((14, 17, 32), (52, 46, 56), 0.3),
}
WALLS: tuple[Colour, ...] = (
    (150, 84, 66),
    (168, 104, 82),
    (198, 182, 152),
    (222, 214, 198),
    (186, 188, 190),
    (142, 136, 128),
    (208, 168, 120),
    (120, 74, 62),
    (226, 226, 222),
    (176, 150, 130),
    (110, 122, 134),
    (204, 196, 150),
)
FRONTS: tuple[Colour, ...] = (
    (30, 70, 60),
    (150, 30, 34),
    (30, 48, 100),
    (210, 160, 40),
    (60, 60, 64),
    (220, 220, 214),
    (90, 50, 90),
    (40, 110, 120),
)
LEAVES: tuple[Colour, ...] = (
    (66, 98, 40),
    (52, 84, 38),
    (84, 112, 52),
    (96, 104, 48),
    (44, 70, 40),
    (150, 110, 46),
    (120, 84, 60),
)


Sprite = tuple[Picture, ...]  # premultiplied RGBA, uint8 [H, W, 4], in halving sizes


@dataclass(frozen=True)
class Ground:
    """A piece of ground.

    Attributes:
        levels: How light it is at each place, 128 on average: the tile, `TILES` times each way,
            as looking a pixel up beyond the edge is slow; uint8 [TILES * TILE, TILES * TILE].
        paint: The colour of a level, as `canvas.tinted` takes it.
    """

    levels: Picture
    paint: tuple[Point, ...]


@dataclass(frozen=True)
class Assets:
    """Everything that is painted once; all random draws come from the seed."""

    grounds: dict[str, Ground]
    skies: dict[str, tuple[Picture, ...]]
    streets: tuple[Picture, ...]
    sheds: tuple[Picture, ...]
    interiors: tuple[Picture, ...]
    trees: tuple[Sprite, ...]
    noise: Picture
    vignette: Picture


@lru_cache(maxsize=2)
def assets(seed: int, size: int) -> Assets:
    """Return the assets for a seed and a picture size."""
    rng = generator(seed, Stream.ASSETS)
    return Assets(
        grounds={name: _ground(rng, *look) for name, look in GROUNDS.items()},
        skies={name: tuple(_sky(rng, *look) for _ in range(3)) for name, look in SKIES.items()},
        streets=tuple(_street(rng) for _ in range(12)),
        sheds=tuple(_shed(rng) for _ in range(6)),
        interiors=tuple(_interior(rng) for _ in range(4)),
        trees=tuple(_tree(rng) for _ in range(12)),
        noise=_noise(rng, (384, 384, 3), 128, 40),
        vignette=_vignette(size),
    )


def _noise(rng: np.random.Generator, shape: tuple[int, ...], mean: float, spread: float) -> Picture:
    grain = rng.standard_normal(shape, dtype=np.float32) * spread + mean
    return np.asarray(np.clip(grain, 0, 255), np.uint8)


def _cloud(rng: np.random.Generator, height: int, width: int, coarsest: int) -> NDArray[np.float32]:
    """Return fractal noise with mean 0 and std 1, float32 [height, width]."""
    total = np.zeros((height, width), np.float32)
    cells, weight = coarsest, 1.0
    while cells < width:
        shape = (max(cells * height // width, 2), cells)
        layer = rng.standard_normal(shape, dtype=np.float32)
        # Linear, then a mean over one cell: OpenCV's cubic interpolation differs by processor.
        linear = cv2.resize(layer, (width, height), interpolation=cv2.INTER_LINEAR)
        total += weight * cv2.blur(linear, (max(width // cells, 1),) * 2)
        cells, weight = cells * 2, weight * 0.62
    return np.asarray(total / total.std(), np.float32)


def _ground(rng: np.random.Generator, colour: Colour, contrast: float) -> Ground:
    quarter = _cloud(rng, TILE // 2, TILE // 2, 4)
    half = np.hstack([quarter, quarter[:, ::-1]])  # mirrored, so that the tiles join without a seam
    patches = np.vstack([half, half[::-1]])
    grain = rng.standard_normal((TILE, TILE), dtype=np.float32)
    levels = np.clip((0.35 * patches + 0.6 * grain) * 40 + 128, 0, 255)
    scale = contrast / 40
    paint = tuple((scale, channel - 128 * scale) for channel in colour)
    return Ground(np.tile(levels.astype(np.uint8), (TILES, TILES)), paint)


def _sky(rng: np.random.Generator, zenith: Colour, horizon: Colour, cloud: float) -> Picture:
    rise = np.linspace(0, 1, 128)[:, None] ** 1.3
    column = np.array(zenith) * (1 - rise) + np.array(horizon) * rise
    sky = np.repeat(column.astype(np.float32)[:, None], 256, axis=1)
    cover = np.clip(_cloud(rng, 128, 256, 4) * 0.5 - 0.25 + cloud * 0.4, 0, 1) * cloud
    lit = np.array(mixed(horizon, (250, 250, 250), 0.35), np.float32)
    sky += cv2.merge([cover, cover, cover]) * (lit - sky)
    return np.asarray(sky, np.uint8)  # a mean of colours, so within 0 to 255


def _brick(rng: np.random.Generator, wall: Picture) -> None:
    """Add brick courses and stains, in place."""
    height, width = wall.shape[:2]
    wall[::4] = cv2.convertScaleAbs(wall[::4], alpha=0.9)
    stains = cv2.resize(rng.standard_normal((6, 6), dtype=np.float32) * 5, (width, height))
    grain = rng.standard_normal((height, width), dtype=np.float32)
    levels = cv2.scaleAdd(grain, 6.0, stains)
    cv2.add(wall, cv2.merge([levels, levels, levels]), dst=wall, dtype=cv2.CV_8U)


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    """Draw a colour, weathered towards grey."""
    return mixed(colours[int(rng.integers(len(colours)))], (128, 126, 122), 0.42)


def _box(picture: Picture, x: int, y: int, width: int, height: int, colour: Colour) -> None:
    cv2.rectangle(picture, (x, y), (x + width - 1, y + height - 1), colour, -1)


def _street(rng: np.random.Generator) -> Picture:
    """Paint a row of house fronts, 24 m by 9 m at 24 pixels a metre: uint8 [216, 576, 3]."""
    strip = np.zeros((216, 576, 3), np.uint8)
    x = 0
    while x < 576:
        width = min(int(rng.integers(110, 200)), 576 - x)
        _house(rng, strip[:, x : x + width])
        x += width
    return strip


def _house(rng: np.random.Generator, front: Picture) -> None:
    wall = _pick(rng, WALLS)
    front[:] = np.array(wall, np.uint8)
    _brick(rng, front)
    width = front.shape[1]
    frame = (236, 234, 228) if rng.random() < 0.7 else shaded(wall, 0.5)
    step = int(rng.integers(34, 52))
    for top in (12, 78):
        for x in range(10, width - 26, step):
            _window(rng, front, x, top, frame)
    if rng.random() < 0.5:
        _shop(rng, front)
    else:
        for i, x in enumerate(range(8, width - 26, step)):
            if i % 3 == 1:
                _box(front, x, 150, 26, 66, frame)
                _box(front, x + 3, 154, 20, 62, _pick(rng, FRONTS))
            else:
                _window(rng, front, x, 150, frame)
    cv2.rectangle(front, (0, 0), (width, 4), shaded(wall, 0.55), -1)


def _window(rng: np.random.Generator, front: Picture, x: int, y: int, frame: Colour) -> None:
    glass = shaded((92, 106, 122), float(rng.uniform(0.35, 1.3)))
    _box(front, x - 2, y - 2, 26, 44, frame)
    _box(front, x, y, 22, 40, glass)
    _box(front, x + 10, y, 2, 40, frame)
    _box(front, x, y + 18, 22, 2, frame)
    _box(front, x - 4, y + 42, 30, 4, shaded(frame, 0.8))


def _shop(rng: np.random.Generator, front: Picture) -> None:
    width, colour = front.shape[1], _pick(rng, FRONTS)
    _box(front, 4, 130, width - 8, 86, colour)
    _box(front, 8, 132, width - 16, 16, shaded(colour, 1.35))
    for x in range(16, width - 40, 9):
        if rng.random() < 0.7:
            _box(front, x, 136, 6, 8, (236, 232, 214))
    for x in range(10, width - 30, 46):
        _box(front, x, 154, 40, 54, shaded((70, 80, 92), float(rng.uniform(0.6, 2.2))))


def _shed(rng: np.random.Generator) -> Picture:
    """Paint a station, works or shop hall with large doors: uint8 [216, 576, 3]."""
    wall = _pick(rng, WALLS)
    front = np.full((216, 576, 3), wall, np.uint8)
    _brick(rng, front)
    front[:, ::7] = cv2.convertScaleAbs(front[:, ::7], alpha=0.93)
    _box(front, 0, 0, 576, 16, shaded(wall, 0.6))
    door = _pick(
        rng, ((230, 230, 226), (160, 34, 32), (120, 130, 140), (60, 84, 120), (40, 42, 46))
    )
    wide = int(rng.integers(90, 140))
    for x in range(int(rng.integers(4, 40)), 576 - wide, wide + int(rng.integers(14, 60))):
        _box(front, x - 3, 72, wide + 6, 144, shaded(wall, 0.5))
        _box(front, x, 76, wide, 140, door)
        for y in range(76, 216, 14):
            _box(front, x, y, wide, 2, shaded(door, 0.8))
        _box(front, x + 4, 106, wide - 8, 12, (84, 96, 108))
    _box(front, 180, 30, int(rng.integers(80, 240)), 24, _pick(rng, FRONTS))
    return front


def _interior(rng: np.random.Generator) -> Picture:
    """Paint the inner wall of a workshop or hall, dim above: uint8 [216, 576, 3]."""
    wall = _pick(rng, ((170, 168, 160), (196, 190, 176), (120, 124, 130), (150, 110, 90)))
    front = np.full((216, 576, 3), wall, np.uint8)
    _brick(rng, front)
    _box(front, 0, 0, 576, 60, shaded(wall, 0.35))
    for x in range(int(rng.integers(0, 60)), 576, 120):
        _box(front, x, 0, 8, 216, shaded(wall, 0.5))
        _box(front, x + 24, 24, 70, 6, (255, 253, 240))
    for x in range(14, 560, 44):
        colour = shaded(_pick(rng, FRONTS), float(rng.uniform(0.6, 1.1)))
        tall = int(rng.integers(24, 90))
        _box(front, x, 216 - tall, int(rng.integers(16, 42)), tall, colour)
    _box(front, 0, 60, 576, 5, (186, 60, 40))
    return front


def _tree(rng: np.random.Generator) -> Sprite:
    """Paint a tree, 160 pixels high and 128 wide, and its smaller versions."""
    tree = np.zeros((160, 128, 4), np.uint8)
    leaf = _pick(rng, LEAVES)
    cv2.rectangle(tree, (60, 90), (68, 160), (70, 58, 46, 255), -1)
    spread, thickness = rng.uniform(18, 27), rng.uniform(16, 28)
    places = np.clip(rng.normal((64, 66), (spread, thickness), (420, 2)), 6, (122, 132))
    places = places[np.argsort(-places[:, 1], kind="stable")]
    lights = 0.55 + 0.5 * (132 - places[:, 1]) / 126 + rng.uniform(-0.14, 0.2, 420)
    radii = rng.integers(2, 8, 420)
    leaves = zip(places.astype(int).tolist(), radii.tolist(), lights.tolist(), strict=True)
    for place, radius, light in leaves:
        cv2.circle(tree, place, radius, (*shaded(leaf, light), 255), -1, cv2.LINE_AA)
    halves = (cv2.resize(tree, None, fx=f, fy=f, interpolation=cv2.INTER_AREA) for f in SHRUNK)
    return tree, *(np.asarray(half, np.uint8) for half in halves)


def _vignette(size: int) -> Picture:
    axis = np.linspace(-1, 1, size)
    distance = axis[:, None] ** 2 + axis[None] ** 2
    shade = 255 * (1 - 0.22 * np.clip(distance - 0.4, 0, None))
    return np.repeat(np.asarray(shade, np.uint8)[..., None], 3, axis=2)
