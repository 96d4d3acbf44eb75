"""One photo: a vehicle in a place, seen by a camera; a pure function of seed and index."""

import numpy as np

from scenes.camera import QUALITIES, choose_view, encode, expose
from scenes.canvas import Picture
from scenes.foreground import paint_foreground, paint_people
from scenes.geometry import Floats, View
from scenes.liveries import LIVERIES
from scenes.randomness import Stream, generator
from scenes.scenery import paint_scene, point_behind
from scenes.scenes import Setting, choose_setting
from scenes.shadows import shade, shadow
from scenes.textures import assets
from scenes.vehicles import Light, bounds, draw_vehicle, dress, paint_vehicle

BYSTANDERS = ("sedan", "hatchback", "estate", "suv", "pickup", "van", "coupe", "minibus")


def photograph(seed: int, index: int, label: int, size: int) -> bytes:
    """Draw one photo.

    Args:
        seed: The data set's seed.
        index: The photo's number; place, view and light depend on it and on the vehicle's size.
        label: 1 for an emergency vehicle, 0 for another.
        size: Pixels a side.

    Returns:
        A JPEG file.
    """
    rng = generator(seed, Stream.PHOTO, index)
    stock = assets(seed, size)
    vehicle = draw_vehicle(rng, label)
    low, high = bounds(vehicle)
    view = choose_view(rng, low, high, size)
    yaw = float(np.arctan2(view.position[1], view.position[0]))
    setting = choose_setting(rng, yaw)
    light = _choose_light(rng, setting)
    picture = np.zeros((size, size, 3), np.uint8)
    paint_scene(picture, view, setting, stock, rng)
    _paint_bystanders(picture, view, setting, light, high, rng)
    shade(picture, shadow(size, view, vehicle, light), 0.72)
    glows = paint_vehicle(picture, view, vehicle, light, rng)
    paint_foreground(picture, view, high[:2], stock, rng)
    photo = expose(picture, view, setting, glows, stock, rng)
    return encode(photo, int(rng.integers(*QUALITIES)))


def _choose_light(rng: np.random.Generator, setting: Setting) -> Light:
    bearing, rise = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 1.2)
    sun = np.array([np.cos(bearing) * np.cos(rise), np.sin(bearing) * np.cos(rise), np.sin(rise)])
    direct = float(rng.uniform(*setting.scene.direct))
    return Light(sun, 0.92 - 0.45 * direct, direct)


def _paint_bystanders(
    picture: Picture,
    view: View,
    setting: Setting,
    light: Light,
    high: Floats,
    rng: np.random.Generator,
) -> None:
    """Paint other vehicles and people in the background, the farthest first."""
    count = min(int(rng.poisson(setting.scene.parked)), 2)
    near = float(np.hypot(*high[:2])) * 0.6 + 1.4
    places = [
        point_behind(setting, near + rng.uniform(0, 5), rng.uniform(-1, 1) * (3.5 + near))
        for _ in range(count)
    ]
    for place in sorted(places, key=lambda place: -view.depth(place)):
        if view.depth(place) > 5:
            _park(picture, view, place, setting.heading, light, rng)
    if rng.random() < 0.14:
        feet = [point_behind(setting, near + 0.5, rng.uniform(-5, 5)) for _ in range(2)]
        paint_people(picture, view, np.array(feet), rng)


def _park(
    picture: Picture,
    view: View,
    place: Floats,
    heading: float,
    light: Light,
    rng: np.random.Generator,
) -> None:
    name = BYSTANDERS[int(rng.integers(len(BYSTANDERS)))]
    vehicle = dress(rng, name, LIVERIES["plain"])
    turned = heading + int(rng.integers(4)) * np.pi / 2
    seen = view.placed(place, turned, np.ones(3))
    shade(picture, shadow(len(picture), seen, vehicle, light), 0.6)
    paint_vehicle(picture, seen, vehicle, light, rng)
