"""Photos to try the model on: of the test split where its data are there, else drawn."""

from collections.abc import Iterator
from itertools import islice
from pathlib import PurePosixPath
from typing import NamedTuple

from pipeline.common import paths
from pipeline.common.tables import SPLIT_COLUMNS, read_table
from scenes.photograph import photograph

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
    rows = read_table(paths.SPLIT_CSV, SPLIT_COLUMNS, text=True)
    shown = rows["image"].map(lambda name: PurePosixPath(name).suffix.lower() in SHOWN)
    tested = rows[shown & (rows["split"] == "test")]
    # The first of each class, the second of each, and so on.
    turns = tested.groupby("label").cumcount()
    for index in turns.sort_values(kind="stable").index:
        name, label = tested.loc[index, ["image", "label"]]
        path = paths.RAW_IMAGES / name
        if path.is_file():
            yield Example(name, label, path.read_bytes())


def _drawn(index: int) -> Example:
    label = index % 2
    data = photograph(DRAWN_SEED, index, label, DRAWN_SIDE)
    return Example(f"drawn {index}.jpg", DRAWN_LABELS[label], data)
