"""The camera: where it stands, and what exposure, lens, weather and JPEG do to a picture."""

import cv2
import numpy as np

from scenes.canvas import Picture, add_light
from scenes.geometry import Floats, View, look_at
from scenes.kits import PICKS, Glow
from scenes.randomness import weighted
from scenes.scenes import Setting
from scenes.textures import Assets

# (weight, middle and spread in degrees) of the direction a vehicle is seen from; 0 is from ahead
DIRECTIONS: tuple[tuple[float, float, float], ...] = (
    (0.62, 36, 11),
    (0.15, 144, 12),
    (0.12, 88, 10),
    (0.07, 5, 6),
    (0.04, 175, 6),
)
WEIGHTS = tuple(entry[0] for entry in DIRECTIONS)
QUALITIES = (45, 96)
GREY = np.array([[0.299, 0.587, 0.114]])  # ITU-R BT.601: the lightness of red, green and blue


def choose_view(rng: np.random.Generator, low: Floats, high: Floats, size: int) -> View:
    """Choose a view in which the box between two corners [3] fills most of the frame.

    Args:
        rng: Draws direction, height, distance, zoom and position in the frame.
        low: Lowest corner, metres.
        high: Highest corner, metres.
        size: Pixels a side.
    """
    _, middle, spread = weighted(rng, DIRECTIONS, WEIGHTS)
    yaw = np.deg2rad(rng.normal(middle, spread)) * (2 * int(rng.integers(2)) - 1)
    distance = np.hypot(*(high - low)[:2]) * rng.uniform(1.1, 2.6) + 1.5
    lift = rng.uniform(1.1, 2.1) if rng.random() < 0.9 else rng.uniform(2.4, 6.0)
    position = np.array([distance * np.cos(yaw), distance * np.sin(yaw), lift])
    target = np.array([0.0, 0.0, high[2] * 0.48])
    axes = look_at(position, target, float(np.deg2rad(rng.normal(0, 1.8))))
    coverage = size * float(np.clip(rng.normal(1.02, 0.06), 0.75, 1.25))
    unit = View(position, axes, 1.0, (0.0, 0.0)).project(_corners(low, high))
    first, last = unit.min(axis=0), unit.max(axis=0)
    wide, tall = (last - first).tolist()
    focal = coverage / max(wide, tall * 1.05)
    aim = size * (0.5 + rng.normal(0, 0.03, 2)) - (last + first) / 2 * focal
    return View(position, axes, float(focal), (float(aim[0]), float(aim[1])))


def _corners(low: Floats, high: Floats) -> Floats:
    return np.array([low, high])[PICKS, np.arange(3)]


def expose(
    picture: Picture,
    view: View,
    setting: Setting,
    glows: list[Glow],
    stock: Assets,
    rng: np.random.Generator,
) -> Picture:
    """Apply weather, light and lens: the picture as the sensor sees it, uint8 [S, S, 3]."""
    scene = setting.scene
    fog = float(rng.uniform(0.15, 0.4)) if scene.weather == "fog" else 0.0
    gain = float(rng.uniform(*scene.exposure)) * np.array(scene.tint) * rng.normal(1, 0.02, 3)
    curve, colours = _curve(fog, float(rng.uniform(0.88, 1.12))), float(rng.uniform(0.85, 1.3))
    picture = _convert(cv2.transform(cv2.LUT(picture, curve), _saturation(colours) * gain))
    for glow in glows:
        centre = view.project(glow.place[None])[0]
        radius = view.pixels_per_metre(glow.place) * glow.reach
        add_light(picture, (float(centre[0]), float(centre[1])), radius, glow.colour)
    if scene.weather in ("rain", "snow"):
        _precipitate(picture, scene.weather, rng)
    if rng.random() < 0.6:
        picture = _convert(cv2.multiply(picture, stock.vignette, scale=1 / 255))
    return _sense(_blur(picture, rng), stock.noise, rng)


def _convert(picture: object) -> Picture:
    return np.asarray(picture, dtype=np.uint8)


def _curve(fog: float, gamma: float) -> Picture:
    """Return the tone curve for an amount of fog, 0 to 1, and a gamma."""
    levels = np.arange(256) / 255 * (1 - fog) + 214 / 255 * fog
    return np.asarray(levels**gamma * 255, dtype=np.uint8)


def _saturation(amount: float) -> Floats:
    """Return the matrix [3, 3] that moves RGB away from grey (amount > 1) or towards it."""
    return np.eye(3) * amount + GREY * (1 - amount)


def _precipitate(picture: Picture, weather: str, rng: np.random.Generator) -> None:
    size = len(picture)
    places = rng.uniform(0, size, (70, 2)).tolist()
    lean = float(rng.uniform(-0.4, 0.4))
    sizes = (size * rng.uniform(0, 1, 70)).tolist()
    for (x, y), extent in zip(places, sizes, strict=True):
        start = (int(x), int(y))
        if weather == "snow":
            radius = max(round(0.002 * size + 0.006 * extent), 1)
            cv2.circle(picture, start, radius, (240, 242, 246), -1, cv2.LINE_AA)
        else:
            long = 0.02 * size + 0.04 * extent
            end = (int(x + lean * long), int(y + long))
            cv2.line(picture, start, end, (176, 184, 192), 1, cv2.LINE_AA)


def _blur(picture: Picture, rng: np.random.Generator) -> Picture:
    """Blur some pictures: a few out of focus, a few by motion."""
    draw, scale = rng.random(), len(picture) / 224
    if draw < 0.25:
        return _convert(cv2.GaussianBlur(picture, (0, 0), scale * float(rng.uniform(0.5, 1.5))))
    if draw < 0.35:
        length = max(round(scale * float(rng.uniform(3, 9))), 1)
        return _convert(cv2.blur(picture, (length, 1)))
    return picture


def _sense(picture: Picture, noise: Picture, rng: np.random.Generator) -> Picture:
    size = len(picture)
    room = max(len(noise) - size, 0) + 1
    x, y = (int(i) for i in rng.integers(room, size=2))
    strength = float(rng.uniform(0.02, 0.17))
    patch = noise[y : y + size, x : x + size]
    if len(patch) < size:
        patch = _convert(cv2.resize(patch, (size, size)))
    return _convert(cv2.addWeighted(picture, 1.0, patch, strength, -128 * strength))


def encode(picture: Picture, quality: int) -> bytes:
    """Encode an RGB picture as JPEG with a quality from 1 to 100."""
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return data.tobytes()
