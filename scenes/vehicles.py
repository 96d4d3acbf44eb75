"""Vehicles: chosen at random for a label, and painted into a picture part by part."""

from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise

import numpy as np

from scenes import bodies, large_bodies
from scenes.bodies import Body
from scenes.canvas import Drawing, Panel, Picture
from scenes.colours import (
    GLASS,
    PLASTIC,
    SILVER,
    WHITE,
    Colour,
    mixed,
    shaded,
)
from scenes.faces import paint_front, paint_rear
from scenes.geometry import Floats, Hull, View
from scenes.kits import KITS, Glow, draw_box, draw_kit
from scenes.liveries import FLEETS, LIVERIES, Livery
from scenes.marks import Band, height
from scenes.randomness import weighted
from scenes.wheels import CIRCLE, draw_wheel

BODIES: dict[str, Body] = {
    "sedan": bodies.SEDAN,
    "coupe": bodies.COUPE,
    "hatchback": bodies.HATCHBACK,
    "estate": bodies.ESTATE,
    "suv": bodies.SUV,
    "pickup": bodies.PICKUP,
    "van": large_bodies.VAN,
    "minibus": large_bodies.MINIBUS,
    "ambulance": large_bodies.AMBULANCE,
    "lorry": large_bodies.LORRY,
    "flatbed": large_bodies.FLATBED,
    "fire engine": large_bodies.FIRE_ENGINE,
    "bus": large_bodies.BUS,
    "school bus": large_bodies.SCHOOL_BUS,
    "motorcycle": bodies.MOTORCYCLE,
}

SHUTTERS = (0.36, 0.92)  # heights of a fire engine's lockers, as shares of the livery zone


@dataclass(frozen=True)
class Vehicle:
    """One vehicle with all its random choices made."""

    body: Body
    name: str
    livery: Livery
    paint: Colour
    box: Colour
    kit: str
    rim: Colour
    stretch: Floats


@dataclass(frozen=True)
class Light:
    """The light of a scene: the sun's direction, float64 [3], and the shares of sky and sun."""

    sun: Floats
    ambient: float
    direct: float

    def on(self, normals: Floats) -> Floats:
        """Return the brightness of surfaces with these normals [N, 3], float [N]."""
        facing = np.maximum(normals @ self.sun, 0.0)
        return np.asarray(self.ambient + 0.16 * normals[:, 2] + self.direct * facing)


def draw_vehicle(rng: np.random.Generator, label: int) -> Vehicle:
    """Draw a vehicle of a label, 1 for emergency."""
    fleet = FLEETS[label]
    name, livery_name, _ = weighted(rng, fleet, [entry[2] for entry in fleet])
    return dress(rng, name, LIVERIES[livery_name])


def dress(rng: np.random.Generator, name: str, livery: Livery) -> Vehicle:
    """Draw a vehicle of a body and livery, with random choices."""
    paint = livery.paints[int(rng.integers(len(livery.paints)))]
    varied = np.clip(np.array(paint) * rng.uniform(0.88, 1.06) + rng.normal(0, 5, 3), 8, 250)
    grey = float(rng.uniform(60, 190))
    return Vehicle(
        body=BODIES[name],
        name=name,
        livery=livery,
        paint=(float(varied[0]), float(varied[1]), float(varied[2])),
        box=livery.boxes[int(rng.integers(len(livery.boxes)))],
        kit=livery.kits[int(rng.integers(len(livery.kits)))],
        rim=(grey, grey, grey + 4),
        stretch=rng.uniform((0.93, 0.95, 0.93), (1.08, 1.05, 1.08)),
    )


def bounds(vehicle: Vehicle) -> tuple[Floats, Floats]:
    """Return the lowest and highest corner of its bounding box, in its own frame, metres."""
    spans = [hull.span for hull in vehicle.body.hulls]
    half = max(hull.width for hull in vehicle.body.hulls) / 2
    top = max(vehicle.body.roof[1], *(hull.height for hull in vehicle.body.hulls))
    low = np.array([min(span[0] for span in spans), -half, 0.0])
    high = np.array([max(span[1] for span in spans), half, top])
    return low * vehicle.stretch, high * vehicle.stretch


def paint_vehicle(
    picture: Picture, view: View, vehicle: Vehicle, light: Light, rng: np.random.Generator
) -> list[Glow]:
    """Paint a vehicle in place.

    Args:
        picture: uint8 [S, S, 3].
        view: The view in the vehicle's own frame.
        vehicle: What to paint.
        light: The light in the vehicle's own frame.
        rng: Draws small differences such as the number plate.

    Returns:
        Its lamps that shine, in its own frame; they are added after the exposure.
    """
    view = view.placed(np.zeros(3), 0.0, vehicle.stretch)
    near = 1.0 if view.position[1] >= 0 else -1.0
    _draw_wheels(picture, view, vehicle, -near)
    _draw_mirror(picture, view, vehicle, light, -near)
    glows: list[Glow] = []
    for hull in sorted(vehicle.body.hulls, key=lambda h: -_distance(view, h)):
        carries = hull.span[0] < vehicle.body.roof[0] < hull.span[1] and hull.paint != "dark"
        below = (
            view.position[2] < vehicle.body.roof[1]
        )  # then the roof's edge hides the foot of the roof equipment
        if carries and below:
            glows = draw_kit(picture, view, KITS[vehicle.kit], vehicle.body, light.on)
        _draw_over(picture, view, vehicle, hull, light, rng)
        if abs(view.position[1]) > hull.width / 2 * 0.8:
            _draw_side(picture, view, vehicle, hull, light, rng)
        if carries and not below:
            glows = draw_kit(picture, view, KITS[vehicle.kit], vehicle.body, light.on)
    _draw_wheels(picture, view, vehicle, near)
    _draw_mirror(picture, view, vehicle, light, near)
    if _hidden_roof(view, vehicle.body):
        return []
    return [Glow(glow.place * vehicle.stretch, glow.reach, glow.colour) for glow in glows]


def _hidden_roof(view: View, body: Body) -> bool:
    """Whether a taller hull hides the roof equipment from the camera."""
    behind = view.position[0] < 0 and view.position[2] < body.roof[1] + 1
    return bool(behind and body.hulls[-1].span[0] < body.roof[0] and len(body.hulls) > 1)


def _distance(view: View, hull: Hull) -> float:
    """Return a key to sort hulls by distance: they stand behind or above one another."""
    middle = (hull.span[0] + hull.span[1]) / 2
    return abs(float(view.position[0]) - middle) - hull.height


def _colour_of(vehicle: Vehicle, hull: Hull) -> Colour:
    return {"body": vehicle.paint, "box": vehicle.box, "dark": PLASTIC}[hull.paint]


def _draw_over(
    picture: Picture,
    view: View,
    vehicle: Vehicle,
    hull: Hull,
    light: Light,
    rng: np.random.Generator,
) -> None:
    """Paint the strips from the rear over the roof to the front, and the marks on them."""
    panel = Panel(to_space=hull.over, light=partial(_light_over, hull, light), facing=-1)
    steps, _ = hull.curve
    middles, normals = hull.strips
    sight = middles - view.position
    seen = np.flatnonzero((sight * normals).sum(axis=1) < 0)
    colour = _colour_of(vehicle, hull)
    for i in seen[np.argsort(-(sight @ view.axes[2])[seen], kind="stable")].tolist():
        ends = float(steps[i]), float(steps[i + 1])
        panel.rectangle(ends, (-1, 1), _strip_colour(vehicle, hull, sum(ends) / 2, colour))
    panel.add(_glass(hull))
    paint_front(panel, hull, vehicle.livery, rng)
    paint_rear(panel, hull, vehicle.livery, rng)
    panel.draw(picture, view)


def _light_over(hull: Hull, light: Light, centres: Floats) -> Floats:
    steps, normals = hull.curve[0], hull.strips[1]
    piece = np.searchsorted(steps, centres[:, 0]) - 1
    return light.on(normals)[np.minimum(np.maximum(piece, 0), len(normals) - 1)]


def _strip_colour(vehicle: Vehicle, hull: Hull, t: float, colour: Colour) -> Colour:
    """Return the colour at t of the contour: bonnet and roof may have their own."""
    if hull.paint != "body":
        return colour
    livery = vehicle.livery
    last_glass = hull.glass[-1] if hull.glass else (9.0, 9.0)
    if livery.bonnet and last_glass[1] < t < hull.front[0]:
        return livery.bonnet
    if livery.roof and hull.rear[1] < t < last_glass[1]:
        return livery.roof
    return colour


@cache
def _glass(hull: Hull) -> Drawing:
    """Paint windscreens, and the floor of an open loading area."""
    drawing = Drawing()
    for low, high in hull.glass:
        drawing.rectangle((low, high), (-0.93, 0.93), (22, 24, 27))
        start, stop = low + 0.06 * (high - low), high - 0.06 * (high - low)
        drawing.rectangle((start, stop), (-0.89, 0.89), GLASS)
        sheen = mixed(GLASS, (190, 205, 220), 0.38)
        drawing.fill([(start, -0.5), (stop, -0.85), (stop, -0.1), (start, 0.2)], sheen)
    if hull.bed:
        drawing.rectangle(hull.bed, (-0.86, 0.86), (40, 40, 42))
    return drawing


def _draw_side(
    picture: Picture,
    view: View,
    vehicle: Vehicle,
    hull: Hull,
    light: Light,
    rng: np.random.Generator,
) -> None:
    """Paint the visible side."""
    sign = 1.0 if view.position[1] >= 0 else -1.0
    even = float(light.on(np.array([[0.0, sign, 0.05]]))[0])
    panel = Panel(to_space=partial(hull.side, sign=sign), light=partial(_light_side, hull, even))
    panel.fill(hull.curve[1], _colour_of(vehicle, hull))
    if hull.paint != "dark":
        _paint_sheet(panel, vehicle, hull, sign, rng)
    panel.add(_fittings(vehicle.body, hull, lockers=vehicle.name == "fire engine"))
    panel.draw(picture, view)


@cache
def _fittings(body: Body, hull: Hull, *, lockers: bool) -> Drawing:
    """Return what every vehicle of a kind has on its sides."""
    drawing = Drawing()
    if lockers:
        _paint_lockers(drawing, hull)
    _paint_windows(drawing, hull)
    _paint_details(drawing, body, hull)
    return drawing


def _light_side(hull: Hull, even: float, centres: Floats) -> Floats:
    """Return the side's light: darker towards the sill, brightest at the shoulder."""
    low, high = hull.zone
    rise = np.minimum(np.maximum((centres[:, 1] - low) / (high - low), -0.2), 1.0)
    return even * (0.80 + 0.26 * rise)


def _paint_sheet(
    panel: Panel, vehicle: Vehicle, hull: Hull, sign: float, rng: np.random.Generator
) -> None:
    colour = _colour_of(vehicle, hull)
    if vehicle.livery.roof and hull.paint == "body" and hull.belt < 9:
        upper = hull.curve[1][hull.curve[1][:, 1] > hull.belt]
        if hull.glass and len(upper) > 2:
            last = hull.glass[-1][1]
            steps, curve = hull.curve
            kept = curve[(steps <= last + 0.1) & (curve[:, 1] > hull.belt - 0.02)]
            panel.fill(kept, vehicle.livery.roof)
    sheet = _sheet(hull)
    panel.places += sheet.places
    panel.sizes += sheet.sizes
    panel.colours += [colour] * len(sheet.sizes)
    for mark in vehicle.livery.marks:
        mark.paint(panel, hull, sign, rng)
    for mark in vehicle.livery.optional:
        if rng.random() < 0.5:
            mark.paint(panel, hull, sign, rng)


@cache
def _sheet(hull: Hull) -> Drawing:
    """Paint the side in horizontal stripes, each of its own brightness."""
    drawing = Drawing()
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        drawing.add(Band(low, low + 0.2, WHITE).drawing(hull))
    return drawing


def _paint_lockers(panel: Drawing, hull: Hull) -> None:
    """Add roller shutters between the seams of a fire engine's body."""
    if hull.glass:
        return
    edges = [hull.span[0] + 0.1, *hull.seams, hull.span[1] - 0.1]
    bottom, top = height(hull, SHUTTERS[0]), height(hull, SHUTTERS[1])
    for start, stop in pairwise(edges):
        panel.rectangle((start + 0.06, stop - 0.06), (bottom, top), shaded(SILVER, 0.95))
        for z in np.linspace(bottom, top, 8)[1:-1]:
            panel.rectangle((start + 0.06, stop - 0.06), (z - 0.02, z), shaded(SILVER, 0.7))


def _paint_windows(panel: Drawing, hull: Hull) -> None:
    for window in hull.windows:
        outline = np.array(window)
        middle = outline.mean(axis=0)
        panel.fill(middle + (outline - middle) * 1.07, (20, 21, 23))
        panel.fill(outline, GLASS)
        upper = outline.copy()
        low, high = outline[:, 1].min(), outline[:, 1].max()
        upper[:, 1] = np.maximum(upper[:, 1], low + 0.55 * (high - low))
        panel.fill(upper, mixed(GLASS, (176, 192, 206), 0.34))


def _paint_details(panel: Drawing, body: Body, hull: Hull) -> None:
    """Add seams, handles, sill, arches and the lamps that reach round the corners."""
    low, high = hull.zone
    for seam in hull.seams:
        panel.rectangle(
            (seam - 0.012, seam + 0.012), (low, min(hull.belt, high) + 0.02), (30, 30, 32)
        )
        panel.rectangle((seam + 0.06, seam + 0.24), (high - 0.13, high - 0.09), (50, 50, 54))
    if hull.paint == "body" and hull.windows:
        panel.rectangle((hull.span[0] + 0.3, hull.span[1] - 0.3), (low - 0.09, low + 0.02), PLASTIC)
    start, stop = hull.span
    for x, radius in body.wheels:
        if start < x < stop and not body.handlebar:
            panel.fill(CIRCLE * radius * 1.17 + (x, radius), (14, 14, 15))


def _draw_wheels(picture: Picture, view: View, vehicle: Vehicle, sign: float) -> None:
    """Paint the wheels of one side."""
    half = max(hull.width for hull in vehicle.body.hulls) / 2 - 0.03
    outer = 0.07 if vehicle.body.handlebar else half
    for x, radius in vehicle.body.wheels:
        draw_wheel(picture, view, (x, sign * outer, radius), sign * vehicle.body.tyre, vehicle.rim)


def _draw_mirror(picture: Picture, view: View, vehicle: Vehicle, light: Light, sign: float) -> None:
    """Paint the outside mirror of one side."""
    if vehicle.body.handlebar:
        return
    x, z = vehicle.body.mirror
    hull = next((h for h in vehicle.body.hulls if h.glass and h.windows), vehicle.body.hulls[0])
    half = float(hull.half_width(np.array([x]), np.array([z]))[0])
    low = np.array([x - 0.06, sign * (half + 0.11) - 0.1, z])
    high = low + np.array([0.12, 0.2, 0.18 if z < 1.3 else 0.3])
    draw_box(picture, view, low, high, vehicle.paint, light.on)
