"""Tables of liveries: how vehicles are painted and what they carry on their roofs."""

from dataclasses import dataclass

from scenes.colours import (
    BLACK,
    BLUE,
    CAR_PAINTS,
    FIRE_RED,
    GOLD,
    GREEN,
    NAVY,
    ORANGE,
    POLICE_BLUE,
    SIGNAL_YELLOW,
    SILVER,
    WHITE,
    YELLOW,
    Colour,
)
from scenes.marks import Band, Chequer, Doors, Emblem, Mark, Shape, Word


@dataclass(frozen=True)
class Livery:
    """A way of painting a vehicle.

    Attributes:
        paints: Possible colours of the body.
        marks: Marks on both sides, in painting order.
        optional: Marks that about half of these vehicles have.
        kits: Possible roof equipment, names of `kits.KITS`.
        roof: Colour of pillars and roof, if not the body's.
        bonnet: Colour of the bonnet, if not the body's.
        rear: Colours of chevrons on the rear, if any.
        front: Words that may stand on the bonnet or above the windscreen.
        nose: Colours of a chequered front, if any.
        boxes: Possible colours of a load's body.
    """

    paints: tuple[Colour, ...]
    marks: tuple[Mark, ...] = ()
    optional: tuple[Mark, ...] = ()
    kits: tuple[str, ...] = ("none",)
    roof: Colour | None = None
    bonnet: Colour | None = None
    rear: tuple[Colour, Colour] | None = None
    front: tuple[str, ...] = ()
    nose: tuple[Colour, Colour] | None = None
    boxes: tuple[Colour, ...] = (WHITE,)


POLICE = ("POLICE", "POLICE", "POLICIA", "POLIZEI", "POLIZIA", "POLITIE", "SHERIFF", "TROOPER")
FIRE = ("FIRE", "FIRE", "RESCUE", "FEUERWEHR", "BOMBEROS", "FIRE DEPT")
MEDICAL = ("AMBULANCE", "AMBULANCE", "PARAMEDIC", "RETTUNG", "EMS", "MEDIC")
SHOPS = (
    "PIZZA",
    "BAKERY",
    "FLOWERS",
    "MOVERS",
    "PLUMBING",
    "CLEANING",
    "LAUNDRY",
    "PARCELS",
    "FRUIT",
    "FRESH",
    "BUILDERS",
    "CARPETS",
    "ELECTRIC",
    "COURIER",
    "GARDENS",
    "RENTAL",
)
BARS = ("bar", "bar", "lit bar", "red bar")

SWOOSH = ((0.0, 0.25), (0.35, 0.35), (1.0, 0.95), (1.0, 0.7), (0.45, 0.12), (0.0, 0.0))
WEDGE = ((0.0, 0.0), (0.0, 1.0), (0.30, 1.0), (0.12, 0.0))
SLASH = ((0.28, 0.0), (0.42, 1.0), (0.52, 1.0), (0.38, 0.0))

LIVERIES: dict[str, Livery] = {
    "battenberg police": Livery(
        paints=(WHITE, WHITE, SILVER),
        marks=(Chequer(0.15, 0.98, 2, SIGNAL_YELLOW, POLICE_BLUE),),
        optional=(Word(POLICE, 0.35, 0.02, 0.2, NAVY),),
        kits=("blue bar", "lit blue bar"),
        rear=(SIGNAL_YELLOW, FIRE_RED),
        front=("POLICE",),
    ),
    "half battenberg": Livery(
        paints=(WHITE, WHITE, SILVER, NAVY),
        marks=(Chequer(0.45, 0.98, 1, SIGNAL_YELLOW, POLICE_BLUE, 1.8),),
        optional=(Word(POLICE, 0.45, 0.1, 0.38, NAVY), Band(0.0, 0.1, SIGNAL_YELLOW)),
        kits=("blue bar", "lit blue bar"),
        front=("POLICE",),
    ),
    "sillitoe": Livery(
        paints=(WHITE, WHITE, SILVER),
        marks=(Chequer(0.5, 0.85, 2, WHITE, POLICE_BLUE, 1.0),),
        optional=(Word(POLICE, 0.5, 0.1, 0.42, POLICE_BLUE),),
        kits=("blue bar", "lit bar"),
        front=("POLICE",),
    ),
    "black and white": Livery(
        paints=(BLACK, BLACK, NAVY),
        marks=(Doors(WHITE),),
        optional=(Word(POLICE, 0.55, 0.35, 0.68, BLACK), Emblem("badge", 0.62, 0.5, 0.4, GOLD)),
        kits=BARS,
        roof=WHITE,
        front=("POLICE",),
    ),
    "white police": Livery(
        paints=(WHITE,),
        marks=(Shape(SWOOSH, POLICE_BLUE), Word(POLICE, 0.5, 0.42, 0.8, NAVY)),
        optional=(Shape(WEDGE, POLICE_BLUE), Emblem("shield", 0.74, 0.6, 0.4, GOLD)),
        kits=BARS,
        front=("POLICE",),
    ),
    "striped police": Livery(
        paints=(WHITE, WHITE, SILVER),
        marks=(Band(0.4, 0.66, BLUE), Band(0.68, 0.8, FIRE_RED)),
        optional=(Word(POLICE, 0.5, 0.14, 0.44, NAVY), Emblem("star", 0.72, 0.5, 0.5, GOLD)),
        kits=BARS,
    ),
    "blue police": Livery(
        paints=(POLICE_BLUE, NAVY, (70, 130, 200)),
        marks=(Band(0.28, 0.72, WHITE), Word(POLICE, 0.5, 0.34, 0.66, NAVY)),
        optional=(Shape(WEDGE, WHITE),),
        kits=("blue bar", "lit blue bar"),
    ),
    "green police": Livery(
        paints=(WHITE, SILVER),
        marks=(Band(0.1, 0.62, GREEN), Word(POLICE, 0.5, 0.2, 0.52, WHITE)),
        kits=("blue bar", "lit blue bar"),
        bonnet=GREEN,
    ),
    "sheriff": Livery(
        paints=(BLACK, WHITE, (40, 60, 50), (150, 120, 80)),
        marks=(Shape(SWOOSH, GOLD), Emblem("star", 0.6, 0.6, 0.62, GOLD)),
        optional=(Word(("SHERIFF", "TROOPER", "RANGER"), 0.38, 0.45, 0.75, GOLD),),
        kits=BARS,
    ),
    "unmarked": Livery(
        paints=(BLACK, NAVY, SILVER, WHITE, (66, 68, 72)),
        kits=("bar", "lit bar", "lit blue bar"),
        optional=(Word(("POLICE", "STATE POLICE"), 0.5, 0.42, 0.66, SILVER),),
    ),
    "battenberg medical": Livery(
        paints=(WHITE, SIGNAL_YELLOW, SIGNAL_YELLOW),
        marks=(Chequer(0.12, 0.66, 2, SIGNAL_YELLOW, GREEN),),
        optional=(Word(MEDICAL, 0.4, 0.72, 0.92, GREEN),),
        kits=("blue bar", "lit blue bar"),
        rear=(SIGNAL_YELLOW, FIRE_RED),
        front=("!AMBULANCE",),
        nose=(SIGNAL_YELLOW, GREEN),
    ),
    "white medical": Livery(
        paints=(WHITE,),
        marks=(Band(0.22, 0.42, FIRE_RED), Word(MEDICAL, 0.38, 0.5, 0.68, NAVY)),
        optional=(Emblem("star of life", 0.18, 0.75, 0.34, BLUE), Band(0.44, 0.47, ORANGE)),
        kits=("red bar", "lit bar", "blue bar"),
        front=("!AMBULANCE", "AMBULANCE"),
    ),
    "orange medical": Livery(
        paints=(WHITE, (250, 240, 210)),
        marks=(Band(0.1, 0.5, ORANGE), Word(MEDICAL, 0.4, 0.2, 0.42, WHITE)),
        optional=(Emblem("cross", 0.2, 0.76, 0.3, FIRE_RED),),
        kits=("lit bar", "blue bar"),
        bonnet=ORANGE,
        front=("!AMBULANCE",),
    ),
    "red medical": Livery(
        paints=(FIRE_RED,),
        marks=(Band(0.3, 0.5, WHITE), Word(("RESCUE", *MEDICAL), 0.4, 0.58, 0.76, WHITE)),
        optional=(Emblem("star of life", 0.15, 0.75, 0.3, WHITE),),
        kits=("red bar", "lit bar"),
        front=("RESCUE", "!AMBULANCE"),
    ),
    "fire": Livery(
        paints=(FIRE_RED, FIRE_RED, (170, 22, 24), (214, 44, 30)),
        marks=(Band(0.2, 0.3, WHITE),),
        optional=(Word(FIRE, 0.5, 0.8, 0.94, GOLD),),
        kits=("blue bar", "lit blue bar", "red bar", "lit bar"),
        front=FIRE,
    ),
    "fire and yellow": Livery(
        paints=(FIRE_RED,),
        marks=(Chequer(0.15, 0.42, 1, SIGNAL_YELLOW, FIRE_RED, 1.5),),
        optional=(Word(FIRE, 0.5, 0.62, 0.84, WHITE),),
        kits=("blue bar", "lit blue bar"),
        rear=(SIGNAL_YELLOW, FIRE_RED),
        front=FIRE,
        nose=(SIGNAL_YELLOW, FIRE_RED),
    ),
    "fire over white": Livery(
        paints=(FIRE_RED,),
        marks=(Band(0.26, 0.33, GOLD),),
        kits=("red bar", "lit bar"),
        roof=WHITE,
        optional=(Emblem("badge", 0.8, 0.45, 0.24, GOLD),),
    ),
    "fire lime": Livery(
        paints=(SIGNAL_YELLOW, (200, 220, 60)),
        marks=(Band(0.2, 0.32, FIRE_RED),),
        optional=(Word(FIRE, 0.5, 0.6, 0.8, FIRE_RED),),
        kits=("lit blue bar", "red bar"),
    ),
    "plain": Livery(paints=CAR_PAINTS, boxes=CAR_PAINTS),
    "rack": Livery(paints=CAR_PAINTS, kits=("rack",)),
    "red": Livery(
        paints=(FIRE_RED, (170, 22, 24), (150, 30, 40)),
        kits=("none", "rack"),
        boxes=(FIRE_RED, WHITE, SILVER),
        optional=(Band(0.3, 0.42, WHITE),),
    ),
    "white": Livery(paints=(WHITE, WHITE, SILVER), kits=("none", "rack"), boxes=(WHITE,)),
    "taxi": Livery(
        paints=(YELLOW, YELLOW, (250, 210, 40), WHITE),
        marks=(Chequer(0.55, 0.75, 2, WHITE, BLACK, 1.0),),
        optional=(Word(("TAXI", "CITY CAB", "CAB"), 0.45, 0.15, 0.45, BLACK),),
        kits=("taxi sign",),
    ),
    "cab": Livery(
        paints=(YELLOW, BLACK, (240, 230, 200), WHITE),
        kits=("taxi sign",),
        optional=(Word(("TAXI", "555-0199"), 0.5, 0.35, 0.7, (90, 90, 90)),),
    ),
    "delivery": Livery(
        paints=(WHITE, YELLOW, FIRE_RED, BLUE, (230, 220, 200), GREEN),
        marks=(Word(SHOPS, 0.32, 0.5, 0.85, NAVY),),
        optional=(Band(0.15, 0.32, FIRE_RED), Shape(SLASH, ORANGE)),
        boxes=(WHITE, WHITE, YELLOW, (200, 220, 235), FIRE_RED),
    ),
    "striped delivery": Livery(
        paints=(WHITE, SILVER, YELLOW),
        marks=(Shape(SWOOSH, FIRE_RED),),
        optional=(Word(SHOPS, 0.34, 0.62, 0.9, FIRE_RED), Shape(WEDGE, BLUE)),
        boxes=(WHITE, YELLOW),
    ),
    "blue delivery": Livery(
        paints=(WHITE, BLUE),
        marks=(Band(0.3, 0.6, POLICE_BLUE), Word(SHOPS, 0.4, 0.66, 0.92, NAVY)),
        boxes=(WHITE, BLUE),
        kits=("none", "rack"),
    ),
    "works": Livery(
        paints=(WHITE, YELLOW, ORANGE),
        marks=(Band(0.12, 0.3, SIGNAL_YELLOW),),
        optional=(
            Chequer(0.12, 0.3, 1, SIGNAL_YELLOW, FIRE_RED, 2.0),
            Word(("HIGHWAYS", "WORKS"), 0.4, 0.5, 0.7, BLACK),
        ),
        kits=("amber bar", "lit amber bar", "rack"),
        rear=(SIGNAL_YELLOW, FIRE_RED),
    ),
    "tow": Livery(
        paints=(WHITE, YELLOW, FIRE_RED, BLUE, BLACK),
        marks=(Band(0.2, 0.4, ORANGE),),
        optional=(Word(("TOWING", "RECOVERY"), 0.5, 0.5, 0.8, BLACK),),
        kits=("amber bar", "lit amber bar"),
    ),
    "two-tone": Livery(
        paints=(FIRE_RED, BLUE, (230, 220, 190), GREEN, BLACK, (120, 60, 40)),
        marks=(Band(0.35, 0.75, WHITE),),
        roof=WHITE,
    ),
    "racing": Livery(
        paints=(WHITE, BLUE, FIRE_RED, BLACK, YELLOW),
        marks=(Band(0.06, 0.2, ORANGE),),
        bonnet=ORANGE,
        optional=(Emblem("disc", 0.5, 0.55, 0.7, WHITE), Shape(SLASH, BLACK)),
    ),
    "school": Livery(
        paints=((246, 176, 16),),
        marks=(Band(0.62, 0.68, BLACK), Band(0.3, 0.36, BLACK)),
        kits=("none", "amber bar"),
        front=("SCHOOL BUS",),
    ),
    "city": Livery(
        paints=(WHITE, FIRE_RED, BLUE, GREEN, (240, 236, 220)),
        marks=(Band(0.0, 0.35, SILVER),),
        optional=(Shape(SWOOSH, ORANGE), Shape(WEDGE, NAVY), Band(0.55, 0.85, FIRE_RED)),
        front=("42 CENTRE", "7 HARBOUR", "EXPRESS"),
    ),
}

# (body, livery, weight): the mix of vehicles for each of the two labels
FLEETS: tuple[tuple[tuple[str, str, float], ...], tuple[tuple[str, str, float], ...]] = (
    (
        ("sedan", "plain", 23),
        ("coupe", "plain", 8),
        ("hatchback", "plain", 11),
        ("estate", "plain", 5),
        ("estate", "rack", 2),
        ("suv", "plain", 15),
        ("suv", "rack", 3),
        ("suv", "white", 2),
        ("pickup", "plain", 14),
        ("pickup", "two-tone", 2),
        ("van", "white", 2),
        ("van", "delivery", 2),
        ("van", "striped delivery", 1.5),
        ("van", "blue delivery", 1),
        ("van", "works", 1),
        ("pickup", "works", 1),
        ("minibus", "plain", 1.5),
        ("sedan", "taxi", 2.5),
        ("sedan", "cab", 1.5),
        ("hatchback", "cab", 1),
        ("sedan", "two-tone", 1.5),
        ("coupe", "racing", 2),
        ("hatchback", "racing", 1),
        ("lorry", "delivery", 1.5),
        ("lorry", "red", 1),
        ("lorry", "plain", 1),
        ("flatbed", "tow", 1.5),
        ("bus", "city", 1.5),
        ("school bus", "school", 1),
        ("motorcycle", "plain", 1.5),
        ("van", "red", 0.5),
        ("suv", "red", 0.5),
    ),
    (
        ("sedan", "battenberg police", 3.75),
        ("sedan", "half battenberg", 1.5),
        ("sedan", "sillitoe", 1.12),
        ("sedan", "black and white", 2.25),
        ("sedan", "white police", 2.25),
        ("sedan", "striped police", 2.25),
        ("sedan", "blue police", 0.75),
        ("sedan", "green police", 1.5),
        ("sedan", "sheriff", 1.12),
        ("sedan", "unmarked", 0.75),
        ("hatchback", "battenberg police", 1.88),
        ("hatchback", "half battenberg", 1.5),
        ("estate", "battenberg police", 2.25),
        ("estate", "green police", 0.75),
        ("suv", "half battenberg", 1.5),
        ("suv", "battenberg police", 3),
        ("suv", "white police", 2.25),
        ("suv", "black and white", 1.5),
        ("suv", "sheriff", 1.12),
        ("suv", "unmarked", 0.38),
        ("pickup", "white police", 0.75),
        ("pickup", "fire", 1),
        ("suv", "fire", 2),
        ("suv", "fire and yellow", 4),
        ("van", "half battenberg", 1.5),
        ("van", "battenberg medical", 5),
        ("van", "white medical", 3),
        ("minibus", "striped police", 0.75),
        ("minibus", "orange medical", 2),
        ("ambulance", "battenberg medical", 9),
        ("ambulance", "white medical", 6),
        ("ambulance", "orange medical", 3),
        ("ambulance", "red medical", 4),
        ("fire engine", "fire", 14),
        ("fire engine", "fire and yellow", 6),
        ("fire engine", "fire over white", 4),
        ("fire engine", "fire lime", 3),
        ("motorcycle", "white police", 0.75),
        ("motorcycle", "half battenberg", 0.75),
        ("van", "fire", 3),
    ),
)
