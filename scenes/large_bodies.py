"""The bodies of vans, lorries, buses and fire engines, as tables of measurements like `bodies`."""

from scenes.bodies import Body
from scenes.geometry import Hull, Point


def _panes(
    start: float, stop: float, low: float, high: float, count: int
) -> tuple[tuple[Point, ...], ...]:
    """A row of equal rectangular windows."""
    step = (stop - start) / count
    lefts = [start + step * i for i in range(count)]
    return tuple(
        ((x, low), (x + step * 0.93, low), (x + step * 0.93, high), (x, high)) for x in lefts
    )


_VAN_CONTOUR = (
    (-2.72, 0.34),
    (-2.78, 1.15),
    (-2.70, 2.28),
    (-2.45, 2.42),
    (0.95, 2.44),
    (1.28, 2.34),
    (2.02, 1.40),
    (2.62, 1.14),
    (2.80, 0.80),
    (2.72, 0.30),
)
_CAB_WINDOW = ((1.78, 1.42), (1.22, 2.12), (0.62, 2.14), (0.62, 1.40))

VAN = Body(
    hulls=(
        Hull(
            contour=_VAN_CONTOUR,
            width=2.0,
            rear=(0, 1.4),
            front=(7, 9),
            zone=(0.45, 1.75),
            glass=((1.25, 1.85), (5.1, 5.93)),
            windows=(_CAB_WINDOW,),
            seams=(1.75, 0.52, -0.75),
            belt=1.35,
            lean=0.13,
            corner=0.5,
        ),
    ),
    wheels=((-1.75, 0.36), (1.75, 0.36)),
    roof=(0.55, 2.44),
    roof_length=2.6,
    mirror=(1.7, 1.5),
)

MINIBUS = Body(
    hulls=(
        Hull(
            contour=_VAN_CONTOUR,
            width=2.0,
            rear=(0, 1.4),
            front=(7, 9),
            zone=(0.45, 1.4),
            glass=((1.2, 1.9), (5.1, 5.93)),
            windows=(_CAB_WINDOW, *_panes(-2.55, 0.50, 1.42, 2.12, 3)),
            seams=(1.75, 0.52, -0.55),
            belt=1.35,
            lean=0.13,
            corner=0.5,
        ),
    ),
    wheels=((-1.75, 0.36), (1.75, 0.36)),
    roof=(0.45, 2.44),
    roof_length=2.6,
    mirror=(1.7, 1.5),
)

_VAN_CAB = Hull(
    contour=(
        (0.30, 0.40),
        (0.30, 2.20),
        (0.55, 2.34),
        (0.95, 2.36),
        (1.28, 2.28),
        (2.02, 1.40),
        (2.70, 1.16),
        (2.88, 0.80),
        (2.80, 0.32),
    ),
    width=2.0,
    rear=(0, 0.2),
    front=(6, 8),
    zone=(0.45, 1.4),
    glass=((4.1, 4.93),),
    windows=(_CAB_WINDOW,),
    seams=(1.75, 0.5),
    belt=1.35,
    lean=0.13,
    corner=0.5,
    ends=(True, False),
)

AMBULANCE = Body(
    hulls=(
        Hull(
            contour=((-3.2, 0.45), (-3.2, 2.72), (0.45, 2.72), (0.45, 0.42)),
            width=2.2,
            rear=(0.1, 0.95),
            front=(2.1, 2.2),
            zone=(0.5, 2.5),
            glass=((0.6, 0.9),),
            windows=(((-0.55, 1.6), (0.10, 1.6), (0.10, 2.15), (-0.55, 2.15)),),
            seams=(-0.7, 0.2, -2.0),
            bevel=0.1,
            ends=(False, True),
        ),
        _VAN_CAB,
    ),
    wheels=((-1.95, 0.38), (1.78, 0.38)),
    roof=(0.2, 2.72),
    roof_length=3.0,
    mirror=(1.7, 1.5),
)

_LORRY_CAB = Hull(
    contour=(
        (1.35, 0.62),
        (1.35, 2.60),
        (1.55, 2.78),
        (2.75, 2.80),
        (3.02, 2.62),
        (3.24, 1.62),
        (3.32, 1.05),
        (3.26, 0.42),
    ),
    width=2.35,
    rear=(0, 0.2),
    front=(5.1, 7),
    zone=(0.75, 1.6),
    glass=((4.12, 4.95),),
    windows=(((2.95, 1.66), (2.72, 2.45), (1.95, 2.45), (1.95, 1.66)),),
    seams=(3.02, 1.85),
    belt=1.6,
    lean=0.05,
    corner=0.3,
    ends=(True, False),
)
_FRAME = Hull(
    contour=((-3.6, 0.52), (-3.6, 0.95), (1.5, 0.95), (1.5, 0.52)),
    width=2.0,
    rear=(0, 1),
    front=(2, 3),
    zone=(0.5, 0.9),
    bevel=0.03,
    paint="dark",
    ends=(False, True),
)

LORRY = Body(
    hulls=(
        _FRAME,
        Hull(
            contour=((-3.7, 0.98), (-3.7, 3.25), (1.15, 3.25), (1.15, 0.98)),
            width=2.45,
            rear=(0.05, 0.95),
            front=(2.1, 2.2),
            zone=(1.1, 3.1),
            bevel=0.05,
            paint="box",
            ends=(False, False),
        ),
        _LORRY_CAB,
    ),
    wheels=((-2.45, 0.48), (2.35, 0.48)),
    roof=(2.1, 2.8),
    roof_length=1.0,
    mirror=(3.0, 1.9),
    tyre=0.32,
)

FLATBED = Body(
    hulls=(
        _FRAME,
        Hull(
            contour=((-3.8, 0.85), (-3.8, 1.12), (1.15, 1.12), (1.15, 0.85)),
            width=2.4,
            rear=(0, 1),
            front=(2, 3),
            zone=(0.85, 1.12),
            bevel=0.04,
            ends=(False, False),
        ),
        Hull(
            contour=((-0.4, 1.12), (-1.1, 2.25), (-0.8, 2.35), (0.95, 1.75), (1.0, 1.12)),
            width=1.1,
            rear=(0, 1),
            front=(3, 4),
            zone=(1.2, 2.0),
            bevel=0.05,
            ends=(False, False),
        ),
        _LORRY_CAB,
    ),
    wheels=((-2.5, 0.48), (2.35, 0.48)),
    roof=(2.1, 2.8),
    roof_length=1.0,
    mirror=(3.0, 1.9),
    tyre=0.32,
)

FIRE_ENGINE = Body(
    hulls=(
        Hull(
            contour=((-3.75, 0.55), (-3.75, 2.95), (1.0, 2.95), (1.0, 0.55)),
            width=2.42,
            rear=(0.1, 0.95),
            front=(2.1, 2.2),
            zone=(0.6, 2.9),
            bevel=0.06,
            windows=(),
            seams=(-2.6, -1.4, -0.2),
            ends=(False, True),
        ),
        Hull(
            contour=(
                (0.85, 0.55),
                (0.85, 2.70),
                (1.05, 2.86),
                (3.25, 2.88),
                (3.52, 2.70),
                (3.76, 1.62),
                (3.84, 1.05),
                (3.78, 0.42),
            ),
            width=2.42,
            rear=(0, 0.2),
            front=(5.1, 7),
            zone=(0.6, 2.5),
            glass=((4.12, 4.95),),
            windows=(
                ((3.45, 1.66), (3.2, 2.5), (2.5, 2.5), (2.5, 1.66)),
                ((2.3, 1.66), (2.3, 2.5), (1.35, 2.5), (1.35, 1.66)),
            ),
            seams=(3.5, 2.4, 1.2),
            belt=1.6,
            lean=0.05,
            corner=0.3,
            ends=(True, False),
        ),
    ),
    wheels=((-2.35, 0.52), (2.45, 0.52)),
    roof=(2.6, 2.88),
    roof_length=1.2,
    mirror=(3.5, 2.1),
    tyre=0.34,
)

BUS = Body(
    hulls=(
        Hull(
            contour=(
                (-5.2, 0.38),
                (-5.24, 1.35),
                (-5.15, 2.88),
                (-4.9, 3.06),
                (4.85, 3.06),
                (5.12, 2.85),
                (5.24, 1.25),
                (5.26, 0.85),
                (5.2, 0.32),
            ),
            width=2.5,
            rear=(0, 1),
            front=(6, 8),
            zone=(0.45, 1.45),
            glass=((1.15, 1.8), (5.08, 5.95)),
            windows=(*_panes(-4.9, 3.5, 1.5, 2.6, 6), *_panes(3.75, 4.95, 0.65, 2.6, 1)),
            seams=(),
            belt=2.0,
            lean=0.03,
            corner=0.3,
        ),
    ),
    wheels=((-3.0, 0.48), (3.1, 0.48)),
    roof=(3.5, 3.06),
    roof_length=3.0,
    mirror=(5.1, 2.2),
    tyre=0.32,
)

SCHOOL_BUS = Body(
    hulls=(
        Hull(
            contour=(
                (-4.2, 0.6),
                (-4.25, 1.5),
                (-4.15, 2.85),
                (-3.9, 3.02),
                (2.35, 3.02),
                (2.65, 2.85),
                (2.95, 1.72),
                (4.05, 1.5),
                (4.25, 1.2),
                (4.2, 0.5),
            ),
            width=2.4,
            rear=(0, 1.2),
            front=(7, 9),
            zone=(0.65, 1.75),
            glass=((1.3, 1.8), (5.08, 5.92)),
            windows=(*_panes(-4.0, 1.6, 1.85, 2.6, 6), *_panes(1.8, 2.55, 0.8, 2.5, 1)),
            seams=(),
            belt=1.8,
            lean=0.1,
            corner=0.4,
        ),
    ),
    wheels=((-2.5, 0.48), (3.2, 0.48)),
    roof=(1.5, 3.02),
    roof_length=2.0,
    mirror=(2.9, 1.9),
    tyre=0.3,
)
