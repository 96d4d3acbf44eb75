"""Bodies of vehicles as tables of measurements: contours, windows, doors, wheels.

All in metres, in the frame of `geometry`: (x, z) with x to the front and z up.
"""

from dataclasses import dataclass

from scenes.geometry import Hull, Point


@dataclass(frozen=True, eq=False)
class Body:
    """A kind of vehicle, compared by identity.

    Attributes:
        hulls: Its bodies of sheet metal.
        wheels: (x, radius) of each axle.
        roof: Middle (x, z) of what is mounted on the roof.
        roof_length: Length of the level part of the roof, metres.
        mirror: (x, z) of the outside mirrors.
        tyre: Width of the wheels, metres.
        handlebar: Whether it is a motorcycle.
    """

    hulls: tuple[Hull, ...]
    wheels: tuple[Point, ...]
    roof: Point
    roof_length: float
    mirror: Point
    tyre: float = 0.22
    handlebar: bool = False


SEDAN = Body(
    hulls=(
        Hull(
            contour=(
                (-2.28, 0.27),
                (-2.38, 0.62),
                (-2.30, 0.99),
                (-1.72, 1.04),
                (-0.98, 1.42),
                (0.12, 1.45),
                (1.02, 1.01),
                (2.08, 0.86),
                (2.36, 0.64),
                (2.28, 0.25),
            ),
            width=1.82,
            rear=(0, 2),
            front=(7, 9),
            zone=(0.34, 0.98),
            glass=((3.08, 3.9), (5.1, 5.93)),
            windows=(
                ((0.80, 1.00), (0.10, 1.375), (-0.36, 1.385), (-0.36, 0.99)),
                ((-0.44, 0.99), (-0.44, 1.385), (-0.92, 1.36), (-1.48, 1.03)),
            ),
            seams=(0.92, -0.40, -1.32),
            belt=0.96,
            lean=0.24,
            corner=0.75,
        ),
    ),
    wheels=((-1.40, 0.33), (1.42, 0.33)),
    roof=(-0.35, 1.44),
    roof_length=1.1,
    mirror=(0.72, 1.0),
)

COUPE = Body(
    hulls=(
        Hull(
            contour=(
                (-2.15, 0.25),
                (-2.25, 0.60),
                (-2.20, 0.93),
                (-1.85, 0.97),
                (-0.80, 1.27),
                (0.02, 1.29),
                (0.92, 0.93),
                (2.00, 0.76),
                (2.26, 0.55),
                (2.20, 0.20),
            ),
            width=1.86,
            rear=(0, 2),
            front=(7, 9),
            zone=(0.30, 0.92),
            glass=((3.1, 3.9), (5.1, 5.93)),
            windows=(((0.70, 0.94), (0.02, 1.22), (-0.70, 1.22), (-1.30, 1.0), (-0.8, 0.94)),),
            seams=(0.85, -0.62),
            belt=0.90,
            lean=0.26,
            corner=0.9,
        ),
    ),
    wheels=((-1.30, 0.33), (1.36, 0.33)),
    roof=(-0.4, 1.28),
    roof_length=0.7,
    mirror=(0.62, 0.95),
)

HATCHBACK = Body(
    hulls=(
        Hull(
            contour=(
                (-1.92, 0.28),
                (-2.02, 0.66),
                (-1.96, 1.02),
                (-1.52, 1.44),
                (-1.20, 1.50),
                (0.10, 1.52),
                (1.02, 1.06),
                (1.80, 0.88),
                (2.03, 0.64),
                (1.95, 0.26),
            ),
            width=1.76,
            rear=(0, 2),
            front=(7, 9),
            zone=(0.34, 1.0),
            glass=((2.1, 2.85), (5.1, 5.93)),
            windows=(
                ((0.82, 1.05), (0.10, 1.45), (-0.32, 1.46), (-0.32, 1.02)),
                ((-0.40, 1.02), (-0.40, 1.46), (-1.12, 1.43), (-1.48, 1.10)),
            ),
            seams=(0.9, -0.36, -1.2),
            belt=1.0,
            lean=0.22,
            corner=0.7,
        ),
    ),
    wheels=((-1.25, 0.32), (1.25, 0.32)),
    roof=(-0.45, 1.51),
    roof_length=1.2,
    mirror=(0.75, 1.05),
)

ESTATE = Body(
    hulls=(
        Hull(
            contour=(
                (-2.32, 0.28),
                (-2.42, 0.66),
                (-2.36, 1.02),
                (-2.02, 1.42),
                (-1.75, 1.48),
                (0.12, 1.50),
                (1.04, 1.03),
                (2.08, 0.87),
                (2.36, 0.64),
                (2.28, 0.26),
            ),
            width=1.82,
            rear=(0, 2),
            front=(7, 9),
            zone=(0.34, 0.99),
            glass=((2.1, 2.85), (5.1, 5.93)),
            windows=(
                ((0.82, 1.02), (0.10, 1.43), (-0.36, 1.44), (-0.36, 1.0)),
                ((-0.44, 1.0), (-0.44, 1.44), (-1.18, 1.43), (-1.25, 1.02)),
                ((-1.33, 1.02), (-1.26, 1.43), (-1.70, 1.41), (-1.98, 1.08)),
            ),
            seams=(0.92, -0.40, -1.28),
            belt=0.98,
            lean=0.22,
            corner=0.75,
        ),
    ),
    wheels=((-1.40, 0.33), (1.42, 0.33)),
    roof=(-0.5, 1.49),
    roof_length=1.7,
    mirror=(0.75, 1.02),
)

SUV = Body(
    hulls=(
        Hull(
            contour=(
                (-2.32, 0.42),
                (-2.42, 0.80),
                (-2.36, 1.22),
                (-2.12, 1.72),
                (-1.85, 1.82),
                (0.10, 1.84),
                (0.95, 1.26),
                (2.15, 1.14),
                (2.40, 0.85),
                (2.34, 0.38),
            ),
            width=1.96,
            rear=(0, 2),
            front=(7, 9),
            zone=(0.46, 1.2),
            glass=((2.1, 2.85), (5.1, 5.93)),
            windows=(
                ((0.78, 1.24), (0.08, 1.75), (-0.36, 1.76), (-0.36, 1.22)),
                ((-0.44, 1.22), (-0.44, 1.76), (-1.22, 1.76), (-1.22, 1.24)),
                ((-1.30, 1.24), (-1.30, 1.76), (-1.90, 1.72), (-2.12, 1.28)),
            ),
            seams=(0.88, -0.40, -1.26),
            belt=1.18,
            lean=0.17,
            corner=0.6,
        ),
    ),
    wheels=((-1.42, 0.39), (1.46, 0.39)),
    roof=(-0.5, 1.83),
    roof_length=1.7,
    mirror=(0.72, 1.26),
)

PICKUP = Body(
    hulls=(
        Hull(
            contour=(
                (-2.70, 0.48),
                (-2.76, 0.80),
                (-2.72, 1.14),
                (-0.98, 1.14),
                (-0.82, 1.80),
                (0.38, 1.83),
                (1.12, 1.22),
                (2.42, 1.12),
                (2.70, 0.85),
                (2.62, 0.40),
            ),
            width=1.98,
            rear=(0, 2),
            front=(7, 9),
            zone=(0.52, 1.14),
            glass=((3.15, 3.85), (5.1, 5.93)),
            windows=(
                ((0.92, 1.20), (0.34, 1.74), (-0.06, 1.74), (-0.06, 1.18)),
                ((-0.14, 1.18), (-0.14, 1.74), (-0.68, 1.70), (-0.82, 1.20)),
            ),
            seams=(1.02, -0.10, -0.9),
            belt=1.16,
            lean=0.17,
            corner=0.5,
            bed=(2.06, 2.94),
        ),
    ),
    wheels=((-1.72, 0.41), (1.68, 0.41)),
    roof=(-0.2, 1.82),
    roof_length=0.9,
    mirror=(0.88, 1.22),
)

_RIDER = Hull(
    contour=((-0.42, 0.86), (-0.44, 1.3), (-0.30, 1.46), (-0.08, 1.46), (0.10, 1.2), (0.05, 0.86)),
    width=0.5,
    rear=(0, 0.2),
    front=(4, 4.2),
    zone=(0.9, 1.4),
    bevel=0.12,
    paint="dark",
    ends=(False, False),
)
_HELMET = Hull(
    contour=((-0.28, 1.48), (-0.30, 1.64), (-0.20, 1.78), (-0.05, 1.78), (0.02, 1.64), (0.0, 1.48)),
    width=0.28,
    rear=(0, 0.2),
    front=(4, 4.2),
    zone=(1.5, 1.75),
    bevel=0.08,
    glass=((3.4, 4.5),),
    ends=(False, False),
)

MOTORCYCLE = Body(
    hulls=(
        Hull(
            contour=(
                (-1.0, 0.50),
                (-1.08, 0.98),
                (-0.55, 0.98),
                (-0.35, 0.80),
                (0.0, 0.84),
                (0.22, 1.04),
                (0.46, 1.10),
                (0.62, 1.42),
                (0.84, 1.02),
                (0.94, 0.80),
                (0.62, 0.42),
                (-0.35, 0.30),
            ),
            width=0.6,
            rear=(0, 1),
            front=(8, 9),
            zone=(0.42, 0.98),
            glass=((6.2, 7.6),),
            belt=1.0,
            lean=0.25,
            bevel=0.08,
            corner=0.5,
        ),
        _RIDER,
        _HELMET,
    ),
    wheels=((-0.78, 0.32), (0.80, 0.32)),
    roof=(-0.75, 1.25),
    roof_length=0.3,
    mirror=(0.5, 1.3),
    tyre=0.15,
    handlebar=True,
)
