"""Photos to try the model on: of the test split where its data are there, else drawn."""

from collections.abc import Iterator
from itertools import islice, zip_longest
from pathlib import PurePosixPath
from typing import NamedTuple

from pipeline.common import paths
from pipeline.common.tables import Assigned, read_assignment
from scenes import photograph

COUNT = 12
SHOWN = frozenset({".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp"})  # by every browser

# Other than the data's by default, so that the scenes are none that the model learnt.
DRAWN_SEED = 2352
DRAWN_SIDE = 224
DRAWN_LABELS = ("other", "emergency")


class Example(NamedTuple):
    """A photo whose class is known.

    Attributes:
        name: Its file's name.
        label: Its class.
        data: The image file.
    """

    name: str
    label: str
    data: bytes


def examples() -> list[Example]:
    """Up to `COUNT` photos that no training has seen, the classes by turns."""
    if paths.SPLIT_CSV.is_file() and paths.RAW_IMAGES.is_dir():
        return list(islice(_from_test_split(), COUNT))
    return [_drawn(index) for index in range(COUNT)]


def _from_test_split() -> Iterator[Example]:
    for row in _by_turns(read_assignment(paths.SPLIT_CSV)):
        path = paths.RAW_IMAGES / row.image
        if path.is_file():
            yield Example(row.image, row.label, path.read_bytes())


def _by_turns(rows: list[Assigned]) -> list[Assigned]:
    """The rows of the test split, the first of each class, the second of each, and so on."""
    of_class: dict[str, list[Assigned]] = {}
    for row in rows:
        if row.split == "test" and PurePosixPath(row.image).suffix.lower() in SHOWN:
            of_class.setdefault(row.label, []).append(row)
    return [row for turn in zip_longest(*of_class.values()) for row in turn if row]


def _drawn(index: int) -> Example:
    label = index % 2
    data = photograph(DRAWN_SEED, index, label, DRAWN_SIDE)
    return Example(f"drawn {index}.jpg", DRAWN_LABELS[label], data)
