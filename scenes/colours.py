"""Colours as RGB triples from 0 to 255, and palettes for vehicles."""

Colour = tuple[float, float, float]

WHITE: Colour = (238, 238, 236)
BLACK: Colour = (24, 24, 27)
GLASS: Colour = (42, 50, 58)
RUBBER: Colour = (26, 26, 28)
PLASTIC: Colour = (44, 45, 48)
CHROME: Colour = (186, 188, 190)
SILVER: Colour = (172, 176, 180)
FIRE_RED: Colour = (196, 28, 26)
POLICE_BLUE: Colour = (24, 62, 160)
NAVY: Colour = (22, 32, 70)
SIGNAL_YELLOW: Colour = (222, 226, 34)
YELLOW: Colour = (244, 194, 22)
ORANGE: Colour = (240, 110, 24)
GREEN: Colour = (16, 122, 66)
GOLD: Colour = (206, 164, 62)
BLUE: Colour = (40, 96, 196)
AMBER: Colour = (255, 150, 20)
LAMP_BLUE: Colour = (40, 80, 255)
LAMP_RED: Colour = (255, 36, 30)
TAIL_RED: Colour = (150, 18, 18)

CAR_PAINTS: tuple[Colour, ...] = (
    WHITE,
    (226, 224, 216),
    SILVER,
    SILVER,
    (150, 153, 156),
    (150, 153, 156),
    (104, 108, 112),
    (104, 108, 112),
    (66, 68, 72),
    (66, 68, 72),
    BLACK,
    BLACK,
    BLACK,
    (34, 36, 44),
    (24, 36, 74),
    (30, 60, 130),
    (26, 84, 176),
    (70, 120, 180),
    (118, 22, 30),
    (168, 24, 28),
    (40, 78, 52),
    (92, 100, 70),
    (196, 178, 140),
    (132, 104, 76),
    (90, 60, 48),
    (200, 130, 40),
    (120, 40, 110),
    (150, 190, 200),
)


def shaded(colour: Colour, light: float) -> Colour:
    """Return the colour under more (light > 1) or less light."""
    return (
        min(255.0, colour[0] * light),
        min(255.0, colour[1] * light),
        min(255.0, colour[2] * light),
    )


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """Mix a share (0 to 1) of `second` into `first`."""
    return (
        first[0] + (second[0] - first[0]) * share,
        first[1] + (second[1] - first[1]) * share,
        first[2] + (second[2] - first[2]) * share,
    )
