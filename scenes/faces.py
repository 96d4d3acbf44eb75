"""The front and rear faces of a hull: lamps, grille, plates, bumpers, chevrons, words."""

from itertools import pairwise

import numpy as np

from scenes.canvas import Panel, stencil
from scenes.colours import CHROME, PLASTIC, TAIL_RED, Colour
from scenes.geometry import Hull, Point
from scenes.liveries import Livery

PLATES: tuple[Colour, ...] = ((236, 236, 230), (236, 236, 230), (240, 206, 60), (60, 90, 170))
LAMP: Colour = (232, 236, 240)


def paint_front(panel: Panel, hull: Hull, livery: Livery, rng: np.random.Generator) -> None:
    """Paint the front face and the words above it."""
    top, bottom = hull.front
    if livery.nose and hull.ends[0]:
        _chequer(panel, (top + 0.02, bottom - 0.5), livery.nose)
    if hull.ends[0]:
        _paint_nose(panel, hull, rng)
    if livery.front and hull.glass and rng.random() < 0.7:
        _letter_front(panel, hull, livery.front[int(rng.integers(len(livery.front)))])


def _paint_nose(panel: Panel, hull: Hull, rng: np.random.Generator) -> None:
    def at(share: float) -> float:
        return hull.front[0] + share * (hull.front[1] - hull.front[0])

    wide, tall = float(rng.uniform(0.35, 0.6)), float(rng.uniform(0.3, 0.55))
    panel.rectangle((at(0.58), at(1.0)), (-1, 1), (58, 59, 62))
    panel.rectangle((at(0.14), at(tall)), (-wide, wide), (30, 31, 33))
    for share in (0.18, (0.14 + tall) / 2, tall - 0.04):
        panel.rectangle((at(share), at(share + 0.025)), (-wide, wide), CHROME)
    inner = wide + float(rng.uniform(0.04, 0.1))
    drop = float(rng.uniform(0.32, 0.44))
    for side in (-1, 1):
        lamp = [
            (at(0.1), side * inner),
            (at(0.08), side * 0.97),
            (at(drop), side * 0.98),
            (at(drop - 0.04), side * inner),
        ]
        panel.fill(lamp, CHROME)
        panel.rectangle(
            (at(0.14), at(drop - 0.08)), _ordered(side * (inner + 0.06), side * 0.9), LAMP
        )
        panel.rectangle((at(0.72), at(0.82)), _ordered(side * 0.66, side * 0.84), (150, 152, 150))
    panel.rectangle((at(0.62), at(0.76)), (-0.29, 0.29), PLATES[int(rng.integers(len(PLATES)))])
    panel.rectangle((at(0.66), at(0.71)), (-0.2, 0.2), (40, 40, 44))
    panel.rectangle((at(0.84), at(0.95)), (-0.5, 0.5), PLASTIC)


def _letter_front(panel: Panel, hull: Hull, word: str) -> None:
    """Letter the bonnet, or above the windscreen if there is none; "!" mirrors the word."""
    mask = stencil(word.removeprefix("!"))
    if word.startswith("!"):
        mask = np.ascontiguousarray(mask[:, ::-1])
    start = hull.glass[-1][1]
    room = hull.front[0] - start
    top, bottom = (start + 0.3 * room, start + 0.72 * room)
    ink = (40, 60, 150)
    panel.letter(mask, [(top, -0.55), (top, 0.55), (bottom, 0.6), (bottom, -0.6)], ink)


def paint_rear(panel: Panel, hull: Hull, livery: Livery, rng: np.random.Generator) -> None:
    """Paint the rear face."""
    low, high = hull.rear
    if high - low < 0.5:
        return

    def at(share: float) -> float:
        return low + share * (high - low)

    if livery.rear:
        _chevrons(panel, (at(0.2), at(0.95)), livery.rear)
    if not hull.ends[1]:
        return
    tall = hull.height > 2.2
    lamps = (0.24, 0.36) if tall else (0.52, 0.82)
    if tall:
        panel.rectangle((at(0.12), at(0.98)), (-0.012, 0.012), (30, 30, 32))
    panel.rectangle((at(0.0), at(0.14 if tall else 0.36)), (-1, 1), (58, 59, 62))
    for side in (-1, 1):
        panel.rectangle((at(lamps[0]), at(lamps[1])), _ordered(side * 0.72, side * 0.98), TAIL_RED)
        panel.rectangle(
            (at(lamps[0] + 0.03), at(lamps[0] + 0.08)),
            _ordered(side * 0.76, side * 0.94),
            (220, 200, 190),
        )
    plate = 0.16 if tall else 0.5
    panel.rectangle(
        (at(plate), at(plate + 0.12)), (-0.28, 0.28), PLATES[int(rng.integers(len(PLATES)))]
    )
    panel.rectangle((at(plate + 0.03), at(plate + 0.08)), (-0.2, 0.2), (40, 40, 44))


def _chevrons(panel: Panel, t: Point, colours: tuple[Colour, Colour]) -> None:
    """Paint slanted stripes that rise to the middle."""
    panel.rectangle(t, (-0.95, 0.95), colours[0])
    low, high = t
    for f in np.arange(0.05, 0.95, 0.36):
        for side in (-1, 1):
            inner, outer = f, min(f + 0.18, 0.95)
            panel.fill(
                [
                    (high, side * inner),
                    (high, side * outer),
                    (low, side * min(outer + 0.3, 0.95)),
                    (low, side * min(inner + 0.3, 0.95)),
                ],
                colours[1],
            )


def _chequer(panel: Panel, t: Point, colours: tuple[Colour, Colour]) -> None:
    edges = np.linspace(-0.96, 0.96, 7)
    for i, (left, right) in enumerate(pairwise(edges)):
        panel.rectangle(t, (float(left), float(right)), colours[i % 2])


def _ordered(first: float, second: float) -> Point:
    return min(first, second), max(first, second)
