"""Groups of copies for the report: which to show, and small pictures of them."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2

from pipeline.common.images import decode, resize

SHOWN_GROUPS = 24
SHOWN_MEMBERS = 4
TILE = 96  # pixels a side
QUALITY = 75  # of JPEG: about 3 KB a tile


class Tile(NamedTuple):
    """One image of a group.

    Attributes:
        name: POSIX path below the folder of images.
        label: Name of its class.
        uri: The picture, 96 pixels a side, as a data URI.
    """

    name: str
    label: str
    uri: str


class Card(NamedTuple):
    """One group of copies.

    Attributes:
        kind: `exact` or `near`.
        split: Where it went.
        conflicting: Whether its images disagree on their label.
        tiles: Its first four images.
        hidden: How many more it has.
    """

    kind: str
    split: str
    conflicting: bool
    tiles: list[Tile]
    hidden: int


def cards(groups: Sequence[Mapping[str, Any]], folder: Path) -> list[Card]:
    """Choose up to 24 groups: conflicting ones first, then near-duplicates, then the largest.

    Args:
        groups: Those of `audit.json`.
        folder: The folder below which the images lie.

    Raises:
        ImageError: An image cannot be decoded.
    """
    return [_card(group, folder) for group in sorted(groups, key=_rank)[:SHOWN_GROUPS]]


def _rank(group: Mapping[str, Any]) -> tuple[bool, bool, int, str]:
    exact = group["kind"] == "exact"
    return not _conflicting(group), exact, -len(group["images"]), group["group"]


def _conflicting(group: Mapping[str, Any]) -> bool:
    return len(set(group["images"].values())) > 1


def _card(group: Mapping[str, Any], folder: Path) -> Card:
    images = list(group["images"].items())
    # One of each label first: a conflict must be seen.
    first = {label: name for name, label in reversed(images)}
    images.sort(key=lambda item: first[item[1]] != item[0])
    tiles = [Tile(name, label, _uri(folder / name)) for name, label in images[:SHOWN_MEMBERS]]
    hidden = len(images) - len(tiles)
    return Card(group["kind"], group["split"], _conflicting(group), tiles, hidden)


def _uri(path: Path) -> str:
    small = resize(decode(path.read_bytes(), path.name), TILE)
    data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
