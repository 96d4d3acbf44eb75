"""Paint a place: sky, ground and its markings, and the background."""

import cv2
import numpy as np

from scenes.canvas import (
    Picture,
    fill_fixed,
    lay,
    paste,
    polygon,
    tinted,
    to_fixed,
)
from scenes.colours import Colour
from scenes.geometry import Floats, Point, View
from scenes.scenes import Setting
from scenes.textures import TILE, TILES, Assets, Ground, Sprite

TEXTURE_METRES = 7.0  # a ground tile's side


def point_behind(setting: Setting, away: float, along: float, z: float = 0.0) -> Floats:
    """Return a point [3] given by distances behind the vehicle and along the backdrop, metres."""
    return np.array(_behind(setting, away, along, z))


def _behind(
    setting: Setting, away: float, along: float, z: float = 0.0
) -> tuple[float, float, float]:
    (x, y), (across_x, across_y) = setting.axes
    return along * across_x - away * x, along * across_y - away * y, z


def paint_scene(
    picture: Picture, view: View, setting: Setting, stock: Assets, rng: np.random.Generator
) -> None:
    """Paint sky, ground, backdrop, markings and trees into a whole picture."""
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
    part = sky[:, left : left + 128]
    if rng.random() < 0.5:
        part = np.asarray(cv2.flip(part, 1), np.uint8)
    cv2.resize(part, (len(picture), depth), dst=picture[:depth])


def _paint_ground(picture: Picture, view: View, ground: Ground, horizon: int) -> None:
    """Paint the tiles at half resolution: a quarter of the cost, and their grain is hidden."""
    size = len(picture)
    top = horizon + 1
    side = TEXTURE_METRES / TILE
    middle = -TEXTURE_METRES * TILES / 2  # the vehicle stands in the middle of the tiles
    scale = np.array([[side, 0, middle], [0, side, middle], [0, 0, 1.0]])
    half = np.array([[0.5, 0, 0], [0, 0.5, -top / 2], [0, 0, 1.0]])
    half_size = ((size + 1) // 2, (size - top + 1) // 2)
    levels = cv2.warpPerspective(
        ground.levels,
        half @ view.ground @ scale,
        half_size,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    far = min(max(size // 20, 2), len(levels))
    share = np.linspace(0.1, 1, far)[:, None]
    levels[:far] = levels[:far] * share + 128 * (1 - share)  # contrast falls with distance
    grown = cv2.resize(levels, (size, size - top), interpolation=cv2.INTER_LINEAR)
    picture[top:] = tinted(np.asarray(grown, np.uint8), ground.paint)


def _paint_land(picture: Picture, view: View, horizon: int, rng: np.random.Generator) -> None:
    """Paint hills, or a distant line of woods and roofs."""
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
    """Paint a sprite of a height in metres upright on a point of the ground [3]."""
    scale = view.pixels_per_metre(foot) * tall / len(sprite[0])
    high, width = (round(side * scale) for side in sprite[0].shape[:2])
    column, row = view.project(foot[None])[0]
    left, top = round(column - width / 2), round(row - high)
    size = len(picture)
    right, bottom = min(left + width, size), min(top + high, size)
    if width < 2 or high < 2 or right <= max(left, 0) or bottom <= max(top, 0) or high > 4 * size:
        return
    finest = next((cut_out for cut_out in sprite[::-1] if len(cut_out) >= high), sprite[0])
    cut_out = cv2.resize(finest, (width, high), interpolation=cv2.INTER_LINEAR)
    shown = cut_out[max(-top, 0) : bottom - top, max(-left, 0) : right - left]
    lay(picture[max(top, 0) : bottom, max(left, 0) : right], np.asarray(shown, np.uint8))


def _paint_wall(
    picture: Picture, view: View, setting: Setting, stock: Assets, rng: np.random.Generator
) -> None:
    fronts: tuple[Picture, ...] = getattr(stock, setting.scene.backdrop)
    texture = fronts[int(rng.integers(len(fronts)))]
    tall, half = float(rng.uniform(5.5, 11)), 15.0
    shift = float(rng.uniform(-6, 6))
    corners = np.array(
        [
            _behind(setting, setting.distance, side * half + shift, z)
            for side, z in ((1, tall), (-1, tall), (-1, 0), (1, 0))
        ]
    )
    if ((corners - view.position) @ view.axes[2]).min() < 1.0:
        return
    pixels = view.project(corners)
    if pixels[0, 0] > pixels[1, 0]:
        pixels = pixels[[1, 0, 3, 2]]
    paste(picture, texture, pixels)


Strip = tuple[Point, Point, Colour]  # how far behind the vehicle, where along the backdrop


def _strips(picture: Picture, view: View, setting: Setting, strips: list[Strip]) -> None:
    """Paint rectangles on the ground, except those that reach behind the camera."""
    space = np.array(
        [
            _behind(setting, away[i], along[j])
            for away, along, _ in strips
            for i, j in ((0, 0), (0, 1), (1, 1), (1, 0))
        ]
    )
    nearest = ((space - view.position) @ view.axes[2]).reshape(-1, 4).min(axis=1).tolist()
    pixels = to_fixed(view.project(space), picture.shape[0]).reshape(-1, 4, 2)
    for outline, depth, (_, _, colour) in zip(pixels, nearest, strips, strict=True):
        if depth > 0.8:
            fill_fixed(picture, outline, colour)


def _paint_pavement(picture: Picture, view: View, setting: Setting) -> None:
    far = setting.distance
    near = max(far - 2.6, 2.2)
    if near < far:
        slabs = ((near, far), (-14.0, 14.0), (162, 158, 152))
        kerb = ((near - 0.16, near), (-14.0, 14.0), (118, 116, 112))
        _strips(picture, view, setting, [slabs, kerb])


def _paint_markings(
    picture: Picture, view: View, setting: Setting, rng: np.random.Generator
) -> None:
    paint = (224, 222, 214) if rng.random() < 0.75 else (224, 184, 70)
    strips: list[Strip] = []
    if setting.scene.markings == "lane":
        away = float(rng.uniform(-3.2, -1.6))
        strips = [((away, away + 0.14), (x, x + 1.7), paint) for x in range(-9, 9, 3)]
        if rng.random() < 0.5:
            strips.append(((1.9, 2.05), (-12, 12), paint))
    elif setting.scene.markings == "bays":
        offset = float(rng.uniform(-1.3, 1.3)) - 7.8
        starts = [offset + 2.6 * i for i in range(7)]
        strips = [((-2.5, 3.0), (x, x + 0.12), paint) for x in starts]
    if strips:
        _strips(picture, view, setting, strips)
